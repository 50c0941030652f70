package io.vmft.proto.nbd;

/**
 * The protocol's numbers. Names are the specification's without {@code NBD_}; see its section "Values" and, for extended headers, the
 * branch {@code extension-ext-header} of the same document.
 */
public final class Nbd {
    /** {@code "NBDMAGIC"} */
    public static final long MAGIC = 0x4e42444d41474943L;
    /** {@code "IHAVEOPT"} */
    public static final long OPTION_MAGIC = 0x49484156454F5054L;

    public static final long OPTION_REPLY_MAGIC = 0x3e889045565a9L;
    public static final int REQUEST_MAGIC = 0x25609513;
    public static final int SIMPLE_REPLY_MAGIC = 0x67446698;
    public static final int STRUCTURED_REPLY_MAGIC = 0x668e33ef;
    public static final int EXTENDED_REQUEST_MAGIC = 0x21e41c71;
    public static final int EXTENDED_REPLY_MAGIC = 0x6e8a278c;

    /** The largest payload of one request or reply that vmft sends, accepts and advertises. */
    public static final int MAX_PAYLOAD_BYTES = 32 << 20;
    /** The longest string: export names, descriptions, messages. */
    public static final int MAX_STRING_BYTES = 4096;
    /** Queries for metadata contexts in one option. */
    public static final int MAX_QUERIES = 64;
    /** Extents in one chunk; the specification's own limit. */
    public static final int MAX_EXTENTS = 1 << 20;
    /** Bytes of zero after the answer to {@link #OPT_EXPORT_NAME} unless the client asked to leave them out. */
    static final int EXPORT_NAME_ZEROES = 124;

    // Handshake flags; client flags have the same bits.
    public static final int FLAG_FIXED_NEWSTYLE = 1;
    public static final int FLAG_NO_ZEROES = 1 << 1;

    // Transmission flags
    public static final int FLAG_HAS_FLAGS = 1;
    public static final int FLAG_READ_ONLY = 1 << 1;
    public static final int FLAG_SEND_FLUSH = 1 << 2;
    public static final int FLAG_SEND_FUA = 1 << 3;
    public static final int FLAG_ROTATIONAL = 1 << 4;
    public static final int FLAG_SEND_TRIM = 1 << 5;
    public static final int FLAG_SEND_WRITE_ZEROES = 1 << 6;
    public static final int FLAG_SEND_DF = 1 << 7;
    public static final int FLAG_CAN_MULTI_CONN = 1 << 8;
    public static final int FLAG_SEND_CACHE = 1 << 10;
    public static final int FLAG_SEND_FAST_ZERO = 1 << 11;
    public static final int FLAG_BLOCK_STATUS_PAYLOAD = 1 << 12;

    // Option types
    public static final int OPT_EXPORT_NAME = 1;
    public static final int OPT_ABORT = 2;
    public static final int OPT_LIST = 3;
    public static final int OPT_STARTTLS = 5;
    public static final int OPT_INFO = 6;
    public static final int OPT_GO = 7;
    public static final int OPT_STRUCTURED_REPLY = 8;
    public static final int OPT_LIST_META_CONTEXT = 9;
    public static final int OPT_SET_META_CONTEXT = 10;
    public static final int OPT_EXTENDED_HEADERS = 11;

    // Option reply types
    public static final int REP_ACK = 1;
    public static final int REP_SERVER = 2;
    public static final int REP_INFO = 3;
    public static final int REP_META_CONTEXT = 4;
    private static final int REP_ERROR = 1 << 31;
    public static final int REP_ERR_UNSUP = REP_ERROR | 1;
    public static final int REP_ERR_POLICY = REP_ERROR | 2;
    public static final int REP_ERR_INVALID = REP_ERROR | 3;
    public static final int REP_ERR_PLATFORM = REP_ERROR | 4;
    public static final int REP_ERR_TLS_REQD = REP_ERROR | 5;
    public static final int REP_ERR_UNKNOWN = REP_ERROR | 6;
    public static final int REP_ERR_SHUTDOWN = REP_ERROR | 7;
    public static final int REP_ERR_BLOCK_SIZE_REQD = REP_ERROR | 8;
    public static final int REP_ERR_TOO_BIG = REP_ERROR | 9;
    public static final int REP_ERR_EXT_HEADER_REQD = REP_ERROR | 10;

    // Information types
    public static final int INFO_EXPORT = 0;
    public static final int INFO_NAME = 1;
    public static final int INFO_DESCRIPTION = 2;
    public static final int INFO_BLOCK_SIZE = 3;

    // Commands
    public static final int CMD_READ = 0;
    public static final int CMD_WRITE = 1;
    public static final int CMD_DISC = 2;
    public static final int CMD_FLUSH = 3;
    public static final int CMD_TRIM = 4;
    public static final int CMD_CACHE = 5;
    public static final int CMD_WRITE_ZEROES = 6;
    public static final int CMD_BLOCK_STATUS = 7;

    // Command flags
    public static final int CMD_FLAG_FUA = 1;
    public static final int CMD_FLAG_NO_HOLE = 1 << 1;
    public static final int CMD_FLAG_DF = 1 << 2;
    public static final int CMD_FLAG_REQ_ONE = 1 << 3;
    public static final int CMD_FLAG_FAST_ZERO = 1 << 4;
    public static final int CMD_FLAG_PAYLOAD_LEN = 1 << 5;

    // Structured and extended replies
    public static final int REPLY_FLAG_DONE = 1;
    public static final int REPLY_TYPE_NONE = 0;
    public static final int REPLY_TYPE_OFFSET_DATA = 1;
    public static final int REPLY_TYPE_OFFSET_HOLE = 2;
    public static final int REPLY_TYPE_BLOCK_STATUS = 5;
    public static final int REPLY_TYPE_BLOCK_STATUS_EXT = 6;
    static final int REPLY_TYPE_ERROR_BIT = 1 << 15;
    public static final int REPLY_TYPE_ERROR = REPLY_TYPE_ERROR_BIT | 1;
    public static final int REPLY_TYPE_ERROR_OFFSET = REPLY_TYPE_ERROR_BIT | 2;

    private Nbd() {}
}
