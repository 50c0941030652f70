package io.vmft.nbd.client.session;

import io.vmft.proto.nbd.Nbd;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FilterInputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * An NBD server over bytes in memory, whose connections break after a random number of bytes, at any place of any message and in
 * either direction, and which knows sessions as the block server does. Carries out one request at a time.
 */
final class ModelServer implements AutoCloseable {
    private static final Pattern NAME = Pattern.compile("disk(?:@(\\d+))?(?:;session=([a-z0-9]+)\\.(\\d+))?");
    private static final int FLAGS = Nbd.FLAG_HAS_FLAGS
            | Nbd.FLAG_SEND_FLUSH
            | Nbd.FLAG_SEND_FUA
            | Nbd.FLAG_SEND_TRIM
            | Nbd.FLAG_SEND_WRITE_ZEROES
            | Nbd.FLAG_CAN_MULTI_CONN;

    private final ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    private final Random random;
    private final byte[] disk;
    private final List<Connection> open = new ArrayList<>();
    final AtomicInteger broken = new AtomicInteger();
    private volatile boolean healthy;
    private long generation;
    private long incarnation;
    private boolean standby;

    /** @param generation 0: the volume is bare */
    ModelServer(int sizeBytes, long generation, long seed) throws IOException {
        this.disk = new byte[sizeBytes];
        this.generation = generation;
        this.random = new Random(seed);
        Thread.ofVirtual().start(this::accept);
    }

    int port() {
        return listener.getLocalPort();
    }

    /** From now on connections last. */
    void heal() {
        healthy = true;
    }

    ModelServer healed() {
        heal();
        return this;
    }

    synchronized byte[] content() {
        return disk.clone();
    }

    /** Another host is the primary; writes are refused until {@link #promote}. */
    synchronized void takeOver(long next) {
        generation = next;
        standby = true;
        open.forEach(Connection::cut);
        open.clear();
    }

    synchronized void promote() {
        standby = false;
    }

    private void accept() {
        try {
            while (true) {
                Socket socket = listener.accept();
                socket.setTcpNoDelay(true);
                Connection connection = new Connection(socket);
                Thread.ofVirtual().start(connection::serve);
            }
        } catch (IOException e) {
            // closed
        }
    }

    /** It is gone. */
    void stop() throws IOException {
        listener.close();
        synchronized (this) {
            open.forEach(Connection::cut);
        }
    }

    @Override
    public void close() throws IOException {
        stop();
    }

    /** Whether the client may have it; ends what it takes the place of. */
    private synchronized int admit(String name, Connection connection) {
        Matcher matcher = NAME.matcher(name);
        if (!matcher.matches()) {
            return Nbd.REP_ERR_UNKNOWN;
        }
        long asked = matcher.group(1) == null ? 0 : Long.parseLong(matcher.group(1));
        if (asked != generation) {
            return Nbd.REP_ERR_POLICY;
        }
        if (matcher.group(3) != null) {
            long number = Long.parseLong(matcher.group(3));
            if (number < incarnation) {
                return Nbd.REP_ERR_POLICY;
            }
            if (number > incarnation) {
                open.forEach(Connection::cut);
                open.clear();
            }
            incarnation = number;
        }
        connection.admitted = true;
        open.add(connection);
        return Nbd.REP_ACK;
    }

    private final class Connection {
        private final Socket socket;
        private final DataInputStream in;
        private final DataOutputStream out;
        private boolean admitted;

        Connection(Socket socket) throws IOException {
            this.socket = socket;
            boolean lasts;
            int before;
            int after;
            synchronized (random) {
                lasts = healthy;
                before = random.nextInt(40_000);
                after = random.nextInt(40_000);
            }
            in = new DataInputStream(
                    lasts ? socket.getInputStream() : new FragileInput(socket.getInputStream(), before));
            out = new DataOutputStream(
                    lasts ? socket.getOutputStream() : new FragileOutput(socket.getOutputStream(), after));
        }

        void cut() {
            admitted = false;
            try {
                socket.close();
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        }

        void serve() {
            try (socket) {
                if (handshake()) {
                    transmission();
                }
            } catch (EOFException | SocketException e) {
                // the client left, or the connection broke
            } catch (IOException e) {
                broken.incrementAndGet();
            }
        }

        private boolean handshake() throws IOException {
            out.writeLong(Nbd.MAGIC);
            out.writeLong(Nbd.OPTION_MAGIC);
            out.writeShort(3);
            in.readInt();
            while (true) {
                in.readLong();
                int option = in.readInt();
                byte[] data = in.readNBytes(in.readInt());
                switch (option) {
                    case Nbd.OPT_LIST -> {
                        byte[] name = name().getBytes(StandardCharsets.UTF_8);
                        reply(option, Nbd.REP_SERVER, 4 + name.length);
                        out.writeInt(name.length);
                        out.write(name);
                        reply(option, Nbd.REP_ACK, 0);
                    }
                    case Nbd.OPT_ABORT -> {
                        return false;
                    }
                    case Nbd.OPT_GO -> {
                        int nameBytes = java.nio.ByteBuffer.wrap(data).getInt();
                        int verdict = admit(new String(data, 4, nameBytes, StandardCharsets.UTF_8), this);
                        if (verdict == Nbd.REP_ACK) {
                            reply(option, Nbd.REP_INFO, 12);
                            out.writeShort(Nbd.INFO_EXPORT);
                            out.writeLong(disk.length);
                            out.writeShort(FLAGS);
                        }
                        reply(option, verdict, 0);
                        if (verdict == Nbd.REP_ACK) {
                            return true;
                        }
                    }
                    default -> reply(option, Nbd.REP_ERR_UNSUP, 0);
                }
            }
        }

        private String name() {
            synchronized (ModelServer.this) {
                return generation == 0 ? "disk" : "disk@" + generation;
            }
        }

        private void reply(int option, int type, int lengthBytes) throws IOException {
            out.writeLong(Nbd.OPTION_REPLY_MAGIC);
            out.writeInt(option);
            out.writeInt(type);
            out.writeInt(lengthBytes);
        }

        private void transmission() throws IOException {
            while (true) {
                in.readInt();
                in.readUnsignedShort();
                int command = in.readUnsignedShort();
                long cookie = in.readLong();
                int offset = (int) in.readLong();
                int length = in.readInt();
                if (command == Nbd.CMD_DISC) {
                    return;
                }
                byte[] data = new byte[command == Nbd.CMD_WRITE ? length : 0];
                in.readFully(data);
                byte[] answer = new byte[0];
                boolean refused = false;
                synchronized (ModelServer.this) {
                    if (!admitted) {
                        return; // what arrived too late is not carried out
                    }
                    switch (command) {
                        case Nbd.CMD_READ -> answer = java.util.Arrays.copyOfRange(disk, offset, offset + length);
                        case Nbd.CMD_WRITE, Nbd.CMD_WRITE_ZEROES -> {
                            refused = standby;
                            if (!refused) {
                                System.arraycopy(
                                        command == Nbd.CMD_WRITE ? data : new byte[length], 0, disk, offset, length);
                            }
                        }
                        default -> {}
                    }
                }
                out.writeInt(Nbd.SIMPLE_REPLY_MAGIC);
                out.writeInt(refused ? 1 : 0);
                out.writeLong(cookie);
                out.write(answer);
            }
        }
    }

    private static IOException broken() {
        return new IOException("broken on purpose");
    }

    private static final class FragileInput extends FilterInputStream {
        private int left;

        FragileInput(InputStream in, int bytes) {
            super(in);
            left = bytes;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            if (left <= 0) {
                throw broken();
            }
            int count = super.read(bytes, offset, Math.min(length, left));
            left -= Math.max(0, count);
            return count;
        }
    }

    private static final class FragileOutput extends FilterOutputStream {
        private int left;

        FragileOutput(OutputStream out, int bytes) {
            super(out);
            left = bytes;
        }

        @Override
        public void write(int b) throws IOException {
            write(new byte[] {(byte) b}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int offset, int length) throws IOException {
            int count = Math.min(length, left);
            out.write(bytes, offset, count);
            left -= count;
            if (count < length) {
                out.flush();
                throw broken();
            }
        }
    }
}
