package io.vmft.proto.nbd;

/** Why a request failed, as the wire says it; the specification's section "Error values". */
public enum NbdError {
    /** Not an error. */
    OK(0),
    EPERM(1),
    EIO(5),
    ENOMEM(12),
    EINVAL(22),
    ENOSPC(28),
    EOVERFLOW(75),
    ENOTSUP(95),
    ESHUTDOWN(108);

    private static final NbdError[] VALUES = values();

    private final int code;

    NbdError(int code) {
        this.code = code;
    }

    public int code() {
        return code;
    }

    /** The error of a code from the wire; one the specification does not name counts as {@link #EINVAL}, as it demands. */
    public static NbdError of(int code) {
        for (NbdError error : VALUES) {
            if (error.code == code) {
                return error;
            }
        }
        return EINVAL;
    }
}
