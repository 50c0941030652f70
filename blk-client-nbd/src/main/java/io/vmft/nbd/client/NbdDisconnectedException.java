package io.vmft.nbd.client;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** The connection ended before a request was answered: whether it was carried out is unknown. */
public final class NbdDisconnectedException extends IOException {
    private static final long serialVersionUID = 1L;

    public NbdDisconnectedException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
