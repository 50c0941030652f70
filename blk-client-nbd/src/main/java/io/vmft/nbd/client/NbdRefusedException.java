package io.vmft.nbd.client;

import java.io.IOException;

/** The server does not give the export. */
public final class NbdRefusedException extends IOException {
    private static final long serialVersionUID = 1L;

    private final int replyType;

    public NbdRefusedException(int replyType, String message) {
        super(message);
        this.replyType = replyType;
    }

    /** {@code REP_ERR_…} of {@link io.vmft.proto.nbd.Nbd}, or 0 if the server only closed the connection. */
    public int replyType() {
        return replyType;
    }
}
