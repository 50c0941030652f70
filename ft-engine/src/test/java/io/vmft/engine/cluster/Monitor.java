package io.vmft.engine.cluster;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.EOFException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** A second QMP connection to a QEMU, beside its engine's, opened by {@code qemu_args}. */
final class Monitor implements AutoCloseable {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
    private final BufferedReader lines;

    Monitor(Path socket) throws IOException {
        channel.connect(UnixDomainSocketAddress.of(socket));
        lines = new BufferedReader(Channels.newReader(channel, StandardCharsets.UTF_8));
        lines.readLine();
        execute("{\"execute\":\"qmp_capabilities\"}");
    }

    /** The argument that lets QEMU listen there; the next QEMU with the same argument takes the path over. */
    static String argument(Path socket) {
        return "qemu_args: [\"-qmp\", \"unix:" + socket + ",server=on,wait=off\"]";
    }

    JsonNode execute(String command) throws IOException {
        channel.write(ByteBuffer.wrap((command + "\n").getBytes(StandardCharsets.UTF_8)));
        while (true) {
            String line = lines.readLine();
            if (line == null) {
                throw new EOFException("QMP ended");
            }
            JsonNode answer = JSON.readTree(line);
            if (answer.has("error")) {
                throw new IOException(command + ": " + answer);
            }
            if (answer.has("return")) {
                return answer.get("return");
            }
        }
    }

    /** What the screen shows, as a portable pixmap. */
    byte[] screen(Path file) throws IOException {
        execute("{\"execute\":\"screendump\",\"arguments\":{\"filename\":\"" + file + "\"}}");
        byte[] picture = Files.readAllBytes(file);
        Files.delete(file);
        return picture;
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
