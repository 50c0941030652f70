package io.vmft.engine.replication;

import io.vmft.proto.checkpoint.Frame;

/** Hears what happens on a {@link Link}. Called on the link's event loop. */
public interface LinkListener {
    /** A verified frame; the listener releases it. Heartbeats are not passed on. */
    void frame(Link link, Frame frame);

    /** The link is of no use any more; called once, last. */
    void closed(Link link, String reason);
}
