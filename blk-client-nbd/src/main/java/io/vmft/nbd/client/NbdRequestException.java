package io.vmft.nbd.client;

import io.vmft.proto.nbd.NbdError;
import java.io.IOException;

/** The server answered a request with an error: it was not carried out, or not wholly. The connection goes on. */
public final class NbdRequestException extends IOException {
    private static final long serialVersionUID = 1L;

    private final NbdError error;

    NbdRequestException(NbdError error, String message) {
        super(message.isEmpty() ? "the server answered " + error : message + " (" + error + ")");
        this.error = error;
    }

    public NbdError error() {
        return error;
    }
}
