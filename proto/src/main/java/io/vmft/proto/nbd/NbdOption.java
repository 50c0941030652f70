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

    /** Go on in TLS. Whatever was negotiated before counts no more. */
    record StartTls() implements NbdOption {
        @Override
        public int code() {
            return Nbd.OPT_STARTTLS;
        }
    }

    /** Use {@link NbdHeaders#EXTENDED}. */
    record ExtendedHeaders() implements NbdOption {
        @Override
        public int code() {
            return Nbd.OPT_EXTENDED_HEADERS;
        }
    }

    /**
     * Which metadata contexts has the export?
     *
     * @param queries none: all of them; at most {@link Nbd#MAX_QUERIES}
     */
    record ListMetaContexts(String name, List<String> queries) implements NbdOption {
        public ListMetaContexts {
            queries = List.copyOf(queries);
        }

        @Override
        public int code() {
            return Nbd.OPT_LIST_META_CONTEXT;
        }
    }

    /**
     * Choose the metadata contexts of later block status requests, instead of those chosen before.
     *
     * @param queries at most {@link Nbd#MAX_QUERIES}
     */
    record SetMetaContexts(String name, List<String> queries) implements NbdOption {
        public SetMetaContexts {
            queries = List.copyOf(queries);
        }

        @Override
        public int code() {
            return Nbd.OPT_SET_META_CONTEXT;
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
