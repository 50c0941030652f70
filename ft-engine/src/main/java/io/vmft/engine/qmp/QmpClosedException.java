package io.vmft.engine.qmp;

import java.io.IOException;

/** The connection ended. Whether a command that was sent took effect is unknown. */
public final class QmpClosedException extends IOException {
    private static final long serialVersionUID = 1L;

    QmpClosedException(String message) {
        super(message);
    }

    QmpClosedException(String message, Throwable cause) {
        super(message, cause);
    }
}
