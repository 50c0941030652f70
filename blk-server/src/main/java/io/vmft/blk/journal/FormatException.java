package io.vmft.blk.journal;

import java.io.IOException;

/** The journal was written in a format that this program does not read: nothing can be said about it. */
public final class FormatException extends IOException {
    private static final long serialVersionUID = 1L;

    public FormatException(String message) {
        super(message);
    }
}
