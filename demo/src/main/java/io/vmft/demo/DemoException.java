package io.vmft.demo;

/** The demo cannot go on, or did not show what it should. The message is one line for the operator. */
final class DemoException extends Exception {
    private static final long serialVersionUID = 1;

    DemoException(String message) {
        super(message);
    }

    DemoException(String message, Throwable cause) {
        super(message, cause);
    }
}
