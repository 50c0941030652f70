package io.vmft.engine;

/** The engine cannot do what was asked. The message is one line for an operator: the thing, the value, the way out. */
public final class EngineException extends Exception {
    private static final long serialVersionUID = 1L;

    public EngineException(String message) {
        super(message);
    }

    public EngineException(String message, Throwable cause) {
        super(message, cause);
    }
}
