package io.vmft.blk.export;

/** No view is given for an export name. The message is one line for the operator on the other end. */
public final class ExportRefusedException extends Exception {
    private static final long serialVersionUID = 1L;

    /** Why, as far as the NBD reply differs. */
    public enum Reason {
        /** {@code NBD_REP_ERR_UNKNOWN} */
        UNKNOWN,
        /** {@code NBD_REP_ERR_POLICY}: held by a VM, or a generation that is not admitted. */
        POLICY,
        /** {@code NBD_REP_ERR_TLS_REQD} where TLS would help, {@code NBD_REP_ERR_POLICY} elsewhere: only for clients with a certificate. */
        CERTIFICATE,
        /** {@code NBD_REP_ERR_SHUTDOWN} */
        SHUTDOWN
    }

    private final Reason reason;

    public ExportRefusedException(Reason reason, String message) {
        super(message);
        this.reason = reason;
    }

    public Reason reason() {
        return reason;
    }
}
