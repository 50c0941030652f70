package io.vmft.nbd.client.session;

import java.io.IOException;

/** The generation that was asked for is over: another host is the primary. */
public final class FencedException extends IOException {
    private static final long serialVersionUID = 1L;

    private final long current;

    FencedException(String volume, long asked, long current) {
        super(volume + "@" + asked + " is over; the current generation is " + current);
        this.current = current;
    }

    /** The generation of the primary, as the server lists it. */
    public long current() {
        return current;
    }
}
