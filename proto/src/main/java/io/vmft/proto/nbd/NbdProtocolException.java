package io.vmft.proto.nbd;

/**
 * The peer sent bytes after which the stream means nothing: the connection must be closed. The message is one line for the
 * log and quotes nothing longer than a number.
 */
public final class NbdProtocolException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private NbdProtocolException(String message) {
        super(message, null, false, false); // a stack trace would cost much and tell nothing
    }

    static NbdProtocolException badMagic(String where, long magic) {
        return new NbdProtocolException("bad magic 0x" + Long.toHexString(magic) + " where " + where + " begins");
    }

    static NbdProtocolException unknownClientFlags(int flags) {
        return new NbdProtocolException("unknown client flags 0x" + Integer.toHexString(flags));
    }

    static NbdProtocolException unknownReply(String what, long value) {
        return new NbdProtocolException("unexpected " + what + " " + Long.toUnsignedString(value));
    }

    static NbdProtocolException tooLong(String what, long lengthBytes, long limitBytes) {
        return new NbdProtocolException(
                what + " of " + Long.toUnsignedString(lengthBytes) + " bytes is longer than " + limitBytes);
    }

    static NbdProtocolException malformed(String what) {
        return new NbdProtocolException(what);
    }
}
