package io.vmft.nbd.client.session;

/** What happened to the connection of a client that follows a volume. */
public sealed interface FollowEvent {
    /**
     * There is a connection.
     *
     * @param endpoint index of the address in the order they were given
     * @param generation of the export; 0: the volume's bare name
     * @param moved whether the generation is another one than before: someone else runs the virtual machine now, and what
     *     was answered after the last committed epoch of the one before is gone, as if it had never been written
     * @param pauseNanos how long nothing was answered
     */
    record Connected(int endpoint, long generation, boolean moved, long pauseNanos) implements FollowEvent {}

    /** The connection is gone; the client looks for another. */
    record Lost(String reason) implements FollowEvent {}

    /** No endpoint could be reached in one round; the client tries again a little later. */
    record Waiting(String reason) implements FollowEvent {}

    /** The client was closed, or no endpoint has the export. */
    record Ended(String reason) implements FollowEvent {}
}
