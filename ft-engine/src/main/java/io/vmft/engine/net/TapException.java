package io.vmft.engine.net;

import java.io.IOException;

/** A tap interface cannot be used. The message names it, the reason and the way out. */
public final class TapException extends IOException {
    private static final long serialVersionUID = 1L;

    private final String tap;
    private final int errno;

    TapException(String tap, int errno, String message) {
        super("tap " + tap + ": " + message);
        this.tap = tap;
        this.errno = errno;
    }

    public String tap() {
        return tap;
    }

    /** What the system call said. */
    public int errno() {
        return errno;
    }
}
