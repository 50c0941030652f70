package io.vmft.blk.export;

import java.io.IOException;

/** The view's generation may not do this: it was fenced, or it is a standby's and asked to write. */
public final class FencedException extends IOException {
    private static final long serialVersionUID = 1L;

    private final String volume;
    private final long held;
    private final long current;

    public FencedException(String volume, long held, long current) {
        super(volume + ": generation " + held + " may not do this, the current one is " + current);
        this.volume = volume;
        this.held = held;
        this.current = current;
    }

    public String volume() {
        return volume;
    }

    /** The generation the view was opened with. */
    public long held() {
        return held;
    }

    /** The generation of the VM's primary. */
    public long current() {
        return current;
    }
}
