package io.vmft.proto.nbd;

/** What a server says in the handshake; the specification's section "Option reply types". */
public sealed interface NbdOptionReply {

    /** {@code REP_ACK} */
    record Ack(int option) implements NbdOptionReply {}

    /** {@code REP_SERVER}: one export of the list. */
    record Server(int option, String name, String description) implements NbdOptionReply {}

    /** {@code INFO_EXPORT} */
    record Export(int option, long sizeBytes, int transmissionFlags) implements NbdOptionReply {}

    /** {@code INFO_NAME}: the canonical name. */
    record Name(int option, String name) implements NbdOptionReply {}

    /** {@code INFO_DESCRIPTION} */
    record Description(int option, String text) implements NbdOptionReply {}

    /** {@code INFO_BLOCK_SIZE} */
    record BlockSize(int option, int minimumBytes, int preferredBytes, int maximumPayloadBytes)
            implements NbdOptionReply {}

    /**
     * {@code REP_META_CONTEXT}
     *
     * @param id what block status replies will call it; 0 in answers to {@code OPT_LIST_META_CONTEXT}
     */
    record MetaContext(int option, int id, String name) implements NbdOptionReply {}

    /** A {@code REP_ERR_…}. */
    record Failure(int option, int replyType, String message) implements NbdOptionReply {}

    /** A reply or information type this codec does not know; its data was skipped. */
    record Unknown(int option, int replyType) implements NbdOptionReply {}

    /**
     * The answer to {@code OPT_EXPORT_NAME}, which has no reply header.
     *
     * @param zeroes whether the 124 zero bytes follow
     */
    record ExportNameAnswer(long sizeBytes, int transmissionFlags, boolean zeroes) implements NbdOptionReply {}
}
