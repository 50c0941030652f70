package io.vmft.blk.nbd;

import java.io.Closeable;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;

/** A client that says literal bytes. */
final class RawClient implements Closeable {
    static final String OPTION = "49484156454F5054";
    static final String REQUEST = "25609513";
    private static final int PATIENCE_MILLIS = 20_000;

    private Socket socket = new Socket();
    private Closeable connection = socket;
    private DataInputStream in;
    private OutputStream out;

    RawClient(ListenAddress address) throws IOException {
        switch (address) {
            case ListenAddress.Tcp tcp -> {
                socket.setSoTimeout(PATIENCE_MILLIS);
                socket.setTcpNoDelay(true);
                socket.connect(new InetSocketAddress(tcp.host(), tcp.port()));
                in = new DataInputStream(socket.getInputStream());
                out = socket.getOutputStream();
            }
            case ListenAddress.Unix unix -> {
                SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(unix.path()));
                connection = channel;
                in = new DataInputStream(Channels.newInputStream(channel));
                out = Channels.newOutputStream(channel);
            }
        }
    }

    /** Connected, with structured replies, to an export. */
    static RawClient on(ListenAddress address, String export) throws IOException {
        RawClient client = new RawClient(address);
        client.greet("00000003");
        client.send(OPTION + "00000008 00000000");
        client.expect("0003e889045565a9 00000008 00000001 00000000");
        client.go(export);
        client.takeOptionReplies();
        return client;
    }

    /** Goes on in TLS, in one of the versions, or any. */
    SSLSocket startTls(SSLContext context, String... versions) throws IOException {
        SSLSocket secure =
                (SSLSocket) context.getSocketFactory().createSocket(socket, "localhost", socket.getPort(), true);
        if (versions.length > 0) {
            secure.setEnabledProtocols(versions);
        }
        secure.startHandshake();
        socket = secure;
        connection = secure;
        in = new DataInputStream(secure.getInputStream());
        out = secure.getOutputStream();
        return secure;
    }

    /** Takes whatever comes until the server has closed; of the handshake or transmission nothing may come. */
    void expectClosedAfterAlert() throws IOException {
        byte[] rest;
        try {
            rest = in.readAllBytes();
        } catch (java.net.SocketException _) {
            return; // reset: closed all the same
        }
        if (rest.length > 0 && rest[0] != 0x15) {
            throw new AssertionError("the server said more: " + HexFormat.of().formatHex(rest));
        }
    }

    void greet(String clientFlags) throws IOException {
        expect("4e42444d41474943 49484156454F5054 0003");
        send(clientFlags);
    }

    void go(String export) throws IOException {
        byte[] name = export.getBytes(StandardCharsets.UTF_8);
        send(OPTION + "00000007 %08x %08x".formatted(name.length + 6, name.length)
                + HexFormat.of().formatHex(name) + "0000");
    }

    void info(String export) throws IOException {
        byte[] name = export.getBytes(StandardCharsets.UTF_8);
        send(OPTION + "00000006 %08x %08x".formatted(name.length + 6, name.length)
                + HexFormat.of().formatHex(name) + "0000");
    }

    /** Chooses an export the old way; returns its transmission flags. */
    int exportName(String export) throws IOException {
        byte[] name = export.getBytes(StandardCharsets.UTF_8);
        send(OPTION + "00000001 %08x".formatted(name.length) + HexFormat.of().formatHex(name));
        in.readLong();
        return in.readUnsignedShort();
    }

    /** {@code OPT_LIST_META_CONTEXT} or {@code OPT_SET_META_CONTEXT}. */
    void metaContexts(int option, String export, String... queries) throws IOException {
        StringBuilder data = new StringBuilder(string(export)).append("%08x".formatted(queries.length));
        for (String query : queries) {
            data.append(string(query));
        }
        send(OPTION + "%08x %08x".formatted(option, data.length() / 2) + data);
    }

    private static String string(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        return "%08x".formatted(bytes.length) + HexFormat.of().formatHex(bytes);
    }

    /** Takes option replies up to the last one, whose type and text it returns. */
    String takeOptionReplies() throws IOException {
        while (true) {
            in.readNBytes(12);
            int type = in.readInt();
            byte[] data = in.readNBytes(in.readInt());
            if (type == 1 || type < 0) {
                return "%08x %s"
                        .formatted(type, new String(data, StandardCharsets.UTF_8))
                        .strip();
            }
        }
    }

    void send(String hex) throws IOException {
        out.write(HexFormat.of().parseHex(hex.replace(" ", "")));
    }

    void send(byte[] bytes) throws IOException {
        out.write(bytes);
    }

    /** A request of one byte cookie, without payload. */
    void request(int flags, int command, int cookie, long offset, long length) throws IOException {
        send(REQUEST + "%04x %04x %016x %016x %08x".formatted(flags, command, cookie, offset, length));
    }

    void expect(String hex) throws IOException {
        String expected = hex.replace(" ", "").toLowerCase(java.util.Locale.ROOT);
        String actual = HexFormat.of().formatHex(in.readNBytes(expected.length() / 2));
        if (!actual.equals(expected)) {
            throw new AssertionError("the server said " + actual + " instead of " + expected);
        }
    }

    String take(int bytes) throws IOException {
        return HexFormat.of().formatHex(in.readNBytes(bytes));
    }

    void expectSuccess(int cookie) throws IOException {
        expect("67446698 00000000 %016x".formatted(cookie));
    }

    /** What stands before the payload of a structured reply's chunk. */
    private record ChunkHeader(int flags, int type, long cookie, int payloadBytes) {
        /** Nothing more comes for its request. */
        boolean isLast() {
            return flags == 1;
        }

        boolean isData() {
            return type == 0x0001;
        }

        boolean isError() {
            return type == 0x8001;
        }
    }

    private ChunkHeader takeChunkHeader() throws IOException {
        expect("668e33ef");
        return new ChunkHeader(in.readUnsignedShort(), in.readUnsignedShort(), in.readLong(), in.readInt());
    }

    private ChunkHeader takeChunkHeader(int cookie) throws IOException {
        ChunkHeader chunk = takeChunkHeader();
        if (chunk.cookie() != cookie) {
            throw new AssertionError("a chunk of request " + chunk.cookie() + " instead of " + cookie);
        }
        return chunk;
    }

    /**
     * Takes the payload of a read's chunk, its data to where it belongs.
     *
     * @param offset of the whole read
     * @return how many bytes of data came; 0 with an empty chunk, which may only be the last
     */
    private int takeData(ChunkHeader chunk, byte[] read, long offset) throws IOException {
        if (chunk.isData()) {
            int index = (int) (in.readLong() - offset);
            int lengthBytes = chunk.payloadBytes() - 8;
            in.readFully(read, index, lengthBytes);
            return lengthBytes;
        }
        if (!chunk.isLast() || chunk.payloadBytes() != 0) {
            throw new AssertionError("a chunk that is no data: " + chunk);
        }
        return 0;
    }

    /** Takes the payload of an error chunk; returns its error number and message. */
    private String takeErrorPayload() throws IOException {
        int error = in.readInt();
        return error + " " + new String(in.readNBytes(in.readUnsignedShort()), StandardCharsets.UTF_8);
    }

    /** Takes an error chunk; returns its error number and message. */
    String takeError(int cookie) throws IOException {
        ChunkHeader chunk = takeChunkHeader(cookie);
        if (!chunk.isError() || !chunk.isLast()) {
            throw new AssertionError("not the error that ends a request: " + chunk);
        }
        return takeErrorPayload();
    }

    /** Takes the data chunks of a read, in whatever order they come, up to the last one, which may be empty. */
    byte[] takeChunks(int cookie, long offset, int lengthBytes) throws IOException {
        byte[] data = new byte[lengthBytes];
        int left = lengthBytes;
        while (true) {
            ChunkHeader chunk = takeChunkHeader(cookie);
            left -= takeData(chunk, data, offset);
            if (chunk.isLast()) {
                if (left != 0) {
                    throw new AssertionError(left + " bytes are missing");
                }
                return data;
            }
        }
    }

    /**
     * Takes a data chunk of any of several reads, into the one its cookie is the index of.
     *
     * @return the cookie of a read that is done; -1: it has more chunks
     */
    int takeChunkOfAny(List<byte[]> reads, int[] offsets) throws IOException {
        ChunkHeader chunk = takeChunkHeader();
        int cookie = (int) chunk.cookie();
        takeData(chunk, reads.get(cookie), offsets[cookie]);
        return chunk.isLast() ? cookie : -1;
    }

    /** Takes chunks of any reads, which may be answered in any order, until so much data has come. */
    void takeDataOfAnyRead(long lengthBytes) throws IOException {
        for (long left = lengthBytes; left > 0; ) {
            ChunkHeader chunk = takeChunkHeader();
            in.skipNBytes(chunk.payloadBytes());
            left -= chunk.isData() ? chunk.payloadBytes() - 8 : 0;
        }
    }

    /** Takes data chunks of a read up to the error chunk that ends it. */
    String takeErrorAfterData(int cookie) throws IOException {
        while (true) {
            ChunkHeader chunk = takeChunkHeader(cookie);
            if (chunk.isError() && chunk.isLast()) {
                return takeErrorPayload();
            }
            if (!chunk.isData() || chunk.isLast()) {
                throw new AssertionError("neither data with more to come nor the error that ends it: " + chunk);
            }
            in.skipNBytes(chunk.payloadBytes());
        }
    }

    /** Takes at most the success of one request, then the end. */
    void expectNothingBut(int cookie) throws IOException {
        String success = "6744669800000000%016x".formatted(cookie);
        String rest;
        try {
            rest = HexFormat.of().formatHex(in.readAllBytes());
        } catch (java.net.SocketException _) {
            return; // reset: closed all the same
        }
        if (!success.startsWith(rest)) {
            throw new AssertionError("the server said " + rest);
        }
    }

    void expectClosed() throws IOException {
        int next;
        try {
            next = in.read();
        } catch (java.net.SocketException _) {
            return; // reset: closed all the same
        }
        if (next >= 0) {
            throw new AssertionError("the server said more: " + next);
        }
    }

    /** Ends as a killed process does, without a word. */
    void die() throws IOException {
        connection.close();
    }

    @Override
    public void close() throws IOException {
        connection.close();
    }
}
