package io.vmft.nbd.client.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.vmft.nbd.client.NbdAddress;
import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.NbdUri;
import io.vmft.nbd.client.Waiting;
import io.vmft.proto.nbd.Nbd;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import picocli.CommandLine;

/** The client against servers that others wrote. */
@Timeout(120)
class NbdServersIT {
    private static final int SIZE_BYTES = (8 << 20) + 512;

    enum Server {
        NBDKIT,
        /** Without structured replies. */
        NBDKIT_SIMPLE,
        /** Without OPT_GO and all that came with it. */
        NBDKIT_OLD_OPTIONS,
        QEMU_NBD
    }

    @TempDir
    Path folder;

    private final List<Process> processes = new ArrayList<>();

    @AfterEach
    void stop() throws InterruptedException {
        for (Process process : processes) {
            process.destroy();
            if (!process.waitFor(10, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        }
    }

    private static void assumeInstalled(String program) {
        assumeTrue(
                Arrays.stream(System.getenv("PATH").split(File.pathSeparator, -1))
                        .anyMatch(directory -> Files.isExecutable(Path.of(directory, program))),
                program + " is not installed");
    }

    private Path image(String name) throws IOException {
        byte[] bytes = new byte[SIZE_BYTES];
        new Random(name.hashCode()).nextBytes(bytes);
        Arrays.fill(bytes, 2 << 20, 4 << 20, (byte) 0);
        return Files.write(folder.resolve(name), bytes);
    }

    private NbdUri serve(Server server, Path image) throws IOException {
        Path socket = folder.resolve(image.getFileName() + ".sock");
        List<String> command = switch (server) {
            case NBDKIT -> List.of("nbdkit", "-f", "-U", "" + socket, "file", "" + image);
            case NBDKIT_SIMPLE -> List.of("nbdkit", "-f", "--no-sr", "-U", "" + socket, "file", "" + image);
            case NBDKIT_OLD_OPTIONS ->
                List.of("nbdkit", "-f", "--mask-handshake=0", "-U", "" + socket, "file", "" + image);
            case QEMU_NBD -> List.of("qemu-nbd", "-t", "-f", "raw", "-k", "" + socket, "" + image);
        };
        assumeInstalled(command.getFirst());
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve(server + ".log").toFile())
                .start();
        processes.add(process);
        NbdUri uri = new NbdUri(List.of(new NbdAddress.Unix(socket)), "", null);
        Awaitility.await().ignoreExceptions().until(() -> {
            assertThat(process.isAlive()).isTrue();
            NbdClient.connect(uri).close();
            return true;
        });
        return uri;
    }

    @ParameterizedTest
    @EnumSource
    void readsAndWrites(Server server) throws IOException {
        Path image = image("disk");
        byte[] expected = Files.readAllBytes(image);
        NbdUri uri = serve(server, image);
        try (NbdClient client = NbdClient.connect(uri)) {
            assertThat(client.export().sizeBytes()).isEqualTo(SIZE_BYTES);
            assertThat(client.export().headers().chunked())
                    .isEqualTo(server == Server.NBDKIT || server == Server.QEMU_NBD);
            assertThat(client.export().has(Nbd.FLAG_SEND_FLUSH)).isTrue();
            // Many at once, odd places, across the hole.
            Random random = new Random(1);
            List<CompletableFuture<ByteBuf>> reads = new ArrayList<>();
            List<Integer> offsets = new ArrayList<>();
            for (int i = 0; i < 500; i++) {
                int offset = random.nextInt(SIZE_BYTES - 100_000);
                offsets.add(offset);
                reads.add(client.read(offset, 1 + random.nextInt(100_000)));
            }
            for (int i = 0; i < reads.size(); i++) {
                ByteBuf data = Waiting.get(reads.get(i));
                assertThat(ByteBufUtil.getBytes(data))
                        .isEqualTo(Arrays.copyOfRange(expected, offsets.get(i), offsets.get(i) + data.readableBytes()));
                data.release();
            }
            byte[] written = new byte[300_000];
            random.nextBytes(written);
            Waiting.get(client.write(1234, Unpooled.wrappedBuffer(written)));
            System.arraycopy(written, 0, expected, 1234, written.length);
            Waiting.get(client.writeZeroes(5 << 20, 70_000));
            Arrays.fill(expected, 5 << 20, (5 << 20) + 70_000, (byte) 0);
            Waiting.get(client.flush());
        }
        assertThat(Files.readAllBytes(image)).isEqualTo(expected);
    }

    @Test
    void copiesFromOneServerToAnother() throws IOException {
        Path from = image("from");
        Path to = image("to");
        NbdUri source = serve(Server.NBDKIT, from);
        NbdUri destination = serve(Server.QEMU_NBD, to);
        assertThat(NbdMain.commandLine().execute("copy", "" + source, "" + destination))
                .isZero();
        assertThat(to).hasSameBinaryContentAs(from);
        Path file = folder.resolve("file");
        assertThat(NbdMain.commandLine().execute("copy", "" + destination, "" + file))
                .isZero();
        assertThat(file).hasSameBinaryContentAs(from);
    }

    @Test
    void theCommandLineShowsAndWrites() throws IOException {
        Path image = image("disk");
        NbdUri uri = serve(Server.NBDKIT, image);
        StringWriter out = new StringWriter();
        CommandLine command = NbdMain.commandLine().setOut(new PrintWriter(out));
        assertThat(command.execute("info", "" + uri)).isZero();
        assertThat(out.toString()).contains("size: " + SIZE_BYTES, "flush: true", "read-only: false");
        try (NbdClient client = NbdClient.connect(uri)) {
            WriteCommand.write(client, new ByteArrayInputStream(new byte[] {1, 2, 3}), 4096);
        }
        assertThat(Arrays.copyOfRange(Files.readAllBytes(image), 4096, 4099)).containsExactly(1, 2, 3);
    }

    @Test
    void errorsAreOneLine() {
        StringWriter err = new StringWriter();
        CommandLine command = NbdMain.commandLine().setErr(new PrintWriter(err, true));
        assertThat(command.execute("info", "nbd+unix:///x?socket=" + folder.resolve("none")))
                .isEqualTo(1);
        assertThat(err.toString()).startsWith("vmft nbd: nbd+unix:///x?socket=").hasLineCount(1);
        err.getBuffer().setLength(0);
        assertThat(command.execute("copy", "" + folder.resolve("none"), "x")).isEqualTo(1);
        assertThat(err.toString()).isEqualTo("vmft nbd: " + folder.resolve("none") + ": no such file\n");
        assertThat(command.execute("info", "http://x")).isEqualTo(2);
    }
}
