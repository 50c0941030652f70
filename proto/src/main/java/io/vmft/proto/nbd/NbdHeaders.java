package io.vmft.proto.nbd;

/** Which headers requests and replies have, as the handshake settled it. */
public enum NbdHeaders {
    /** Compact requests, simple replies: if nothing was negotiated. */
    SIMPLE(28, 16),
    /** Compact requests; reads and whatever has a payload are answered in chunks ({@code OPT_STRUCTURED_REPLY}). */
    STRUCTURED(28, 28),
    /** Requests and replies with 64-bit lengths; all replies are chunks ({@code OPT_EXTENDED_HEADERS}). */
    EXTENDED(32, 40);

    private final int requestBytes;
    private final int dataHeaderBytes;

    NbdHeaders(int requestBytes, int dataHeaderBytes) {
        this.requestBytes = requestBytes;
        this.dataHeaderBytes = dataHeaderBytes;
    }

    /** Whether a reply may have several chunks and messages. */
    public boolean chunked() {
        return this != SIMPLE;
    }

    /** The length of a request without its payload. */
    int requestBytes() {
        return requestBytes;
    }

    /** What stands before a read's data: the header and, in a chunk, the data's offset. */
    public int dataHeaderBytes() {
        return dataHeaderBytes;
    }
}
