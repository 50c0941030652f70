package io.vmft.blk.journal;

import java.io.IOException;

/** The journal does not hold what was written to it. */
public final class CorruptRecordException extends IOException {
    private static final long serialVersionUID = 1L;

    public CorruptRecordException(String message) {
        super(message);
    }
}
