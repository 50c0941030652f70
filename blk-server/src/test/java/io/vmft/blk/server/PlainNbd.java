package io.vmft.blk.server;

import java.io.Closeable;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/** The plainest NBD client there is: one request at a time, simple replies, {@code NBD_OPT_EXPORT_NAME}. */
public final class PlainNbd implements Closeable {
    private static final int READ = 0;
    private static final int WRITE = 1;
    private static final int FLUSH = 3;
    private static final int TRIM = 4;
    private static final int WRITE_ZEROES = 6;
    private static final int FUA = 1;
    private static final int NO_HOLE = 2;
    private static final int PATIENCE_MILLIS = 30_000;

    private final Socket socket;
    private final DataInputStream in;
    private final DataOutputStream out;

    public PlainNbd(int port, String export) throws IOException {
        socket = new Socket(InetAddress.getLoopbackAddress(), port);
        socket.setSoTimeout(PATIENCE_MILLIS);
        socket.setTcpNoDelay(true);
        in = new DataInputStream(socket.getInputStream());
        out = new DataOutputStream(new java.io.BufferedOutputStream(socket.getOutputStream(), 1 << 16));
        in.readNBytes(18);
        byte[] name = export.getBytes(StandardCharsets.US_ASCII);
        out.writeInt(3); // fixed newstyle, no zeroes
        out.writeLong(0x49484156454F5054L);
        out.writeInt(1);
        out.writeInt(name.length);
        out.write(name);
        out.flush();
        in.readLong();
        in.readUnsignedShort();
    }

    void write(long offset, byte[] data) throws IOException {
        write(offset, data, false);
    }

    public void write(long offset, byte[] data, boolean fua) throws IOException {
        request(fua ? FUA : 0, WRITE, offset, data.length);
        out.write(data);
        reply();
    }

    public void trim(long offset, int length, boolean fua) throws IOException {
        request(fua ? FUA : 0, TRIM, offset, length);
        reply();
    }

    public void writeZeroes(long offset, int length, boolean punchHole, boolean fua) throws IOException {
        request((fua ? FUA : 0) | (punchHole ? 0 : NO_HOLE), WRITE_ZEROES, offset, length);
        reply();
    }

    byte[] read(long offset, int length) throws IOException {
        request(0, READ, offset, length);
        reply();
        byte[] data = new byte[length];
        in.readFully(data);
        return data;
    }

    public void flush() throws IOException {
        request(0, FLUSH, 0, 0);
        reply();
    }

    private void request(int flags, int command, long offset, int length) throws IOException {
        out.writeInt(0x25609513);
        out.writeShort(flags);
        out.writeShort(command);
        out.writeLong(7);
        out.writeLong(offset);
        out.writeInt(length);
    }

    private void reply() throws IOException {
        out.flush();
        if (in.readInt() != 0x67446698) {
            throw new IOException("not a simple reply");
        }
        int error = in.readInt();
        in.readLong();
        if (error != 0) {
            throw new IOException("NBD error " + error);
        }
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
