package io.vmft.blk.journal;

import org.jspecify.annotations.Nullable;

/** What a record says. */
public enum RecordKind {
    /** The range holds the payload. */
    WRITE(1),
    /** The range reads as zeroes and keeps its space. */
    ZERO(2),
    /** The range reads as zeroes and may become a hole. */
    TRIM(3),
    /** An epoch ends here: what this lane's volumes wrote before belongs to it or an older one. */
    SEAL(4);

    private final byte code;

    RecordKind(int code) {
        this.code = (byte) code;
    }

    /** What stands for it in a header. */
    public byte code() {
        return code;
    }

    /** The kind that such a number stands for; null: none. */
    public static @Nullable RecordKind of(byte code) {
        return switch (code) {
            case 1 -> WRITE;
            case 2 -> ZERO;
            case 3 -> TRIM;
            case 4 -> SEAL;
            default -> null;
        };
    }
}
