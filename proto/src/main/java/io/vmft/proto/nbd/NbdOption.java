package io.vmft.proto.nbd;

import java.util.List;

/** What a client asks for in the handshake; the specification's section "Option types". */
public sealed interface NbdOption {

    /** The option's number on the wire. */
    int code();

    /** Choose the export and start, the old way: a refusal can only be a closed connection. */
    record ExportName(String name) implements NbdOption {
        @Override
        public int code() {
            return Nbd.OPT_EXPORT_NAME;
        }
    }

    record Abort() implements NbdOption {
        @Override
        public int code() {
            return Nbd.OPT_ABORT;
        }
    }

    record ListExports() implements NbdOption {
        @Override
        public int code() {
            return Nbd.OPT_LIST;
        }
    }

    /**
     * {@code OPT_INFO}: tell me about the export.
     *
     * @param requests {@code INFO_…} types; unknown ones are kept
     */
    record Describe(String name, List<Integer> requests) implements NbdOption {
        public Describe {
            requests = List.copyOf(requests);
        }

        @Override
        public int code() {
            return Nbd.OPT_INFO;
        }
    }

    /**
     * Choose the export and start.
     *
     * @param requests {@code INFO_…} types; unknown ones are kept
     */
    record Go(String name, List<Integer> requests) implements NbdOption {
        public Go {
            requests = List.copyOf(requests);
        }

        @Override
        public int code() {
            return Nbd.OPT_GO;
        }
    }

    record StructuredReply() implements NbdOption {
        @Override
        public int code() {
            return Nbd.OPT_STRUCTURED_REPLY;
        }
    }

    /** An option this codec does not know; its data was skipped. */
    record Unknown(int code) implements NbdOption {}

    /**
     * A known option with data that makes no sense; the data was skipped and the handshake can go on.
     *
     * @param replyType the {@code REP_ERR_…} to answer
     */
    record Malformed(int code, int replyType, String message) implements NbdOption {}
}
