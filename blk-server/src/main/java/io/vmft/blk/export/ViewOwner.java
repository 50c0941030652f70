package io.vmft.blk.export;

/** The connection that holds a view, as far as storage must know it. Called on any thread. */
public interface ViewOwner {
    /**
     * The view stops being served: its generation was fenced, a newer connection took its place, the server closes. The owner must
     * cut its connection; calls on the view fail whether or not this has run yet. Run at most once; must not block.
     *
     * @param why for the log, a few words
     */
    void revoked(String why);

    /**
     * Whether nobody waits for answers any more, as far as is known now: the connection has ended here, or its peer's end was
     * received. False says nothing.
     */
    default boolean isGone() {
        return false;
    }
}
