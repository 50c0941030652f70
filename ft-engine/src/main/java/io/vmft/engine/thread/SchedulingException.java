package io.vmft.engine.thread;

/** The host does not schedule threads as configured. One line for an operator: the setting, the value, the way out. */
public final class SchedulingException extends Exception {
    private static final long serialVersionUID = 1L;

    SchedulingException(String message) {
        super(message);
    }
}
