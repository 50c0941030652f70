package io.vmft.kvm;

import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;

/** A real QEMU with the test guest and a QMP connection. Its files lie in one directory. */
final class TestQemu implements AutoCloseable {
    static final String BINARY = System.getProperty("vmft.qemu", "qemu-system-x86_64");

    private final Path directory;
    final Process process;
    private final SocketChannel qmp;
    private final ByteBuffer received = ByteBuffer.allocate(1 << 16).limit(0);

    private TestQemu(Path directory, Process process) throws IOException {
        this.directory = directory;
        this.process = process;
        Path socket = directory.resolve("qmp");
        Awaitility.await()
                .atMost(Duration.ofSeconds(20))
                .pollInterval(Duration.ofMillis(10))
                .until(() -> Files.exists(socket) || !process.isAlive());
        if (!process.isAlive()) {
            throw new IOException("QEMU ended: " + Files.readString(directory.resolve("stderr")));
        }
        this.qmp = SocketChannel.open(StandardProtocolFamily.UNIX);
        // Between the making of the socket file and listen() a connection is refused.
        Awaitility.await()
                .atMost(Duration.ofSeconds(20))
                .pollInterval(Duration.ofMillis(10))
                .ignoreExceptionsInstanceOf(IOException.class)
                .until(() -> qmp.connect(UnixDomainSocketAddress.of(socket)));
        readLine();
        execute("{\"execute\":\"qmp_capabilities\"}");
    }

    static Process launch(
            Path directory, Map<String, String> environment, long ramBytes, TestMachine machine, String guestOptions)
            throws IOException {
        List<String> command = new ArrayList<>(List.of(
                BINARY,
                "-accel",
                machine.accelerator,
                "-smp",
                Integer.toString(machine.cpus),
                "-m",
                ramBytes + "B",
                "-object",
                "memory-backend-file,id=ram,share=on,size=" + ramBytes + ",mem-path=" + directory.resolve("ram"),
                "-machine",
                machine.type + ",memory-backend=ram",
                "-nodefaults",
                "-vga",
                "std",
                "-display",
                "none",
                "-serial",
                "file:" + directory.resolve("serial"),
                "-qmp",
                "unix:" + directory.resolve("qmp") + ",server=on,wait=off",
                "-kernel",
                guest().toString(),
                "-append",
                guestOptions));
        if (machine.needsKvm()) {
            command.addAll(List.of("-cpu", "host,-arch-capabilities"));
        }
        ProcessBuilder builder = new ProcessBuilder(command)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(directory.resolve("stderr").toFile());
        builder.environment().putAll(environment);
        return builder.start();
    }

    static TestQemu start(
            Path directory, Map<String, String> environment, long ramBytes, TestMachine machine, String guestOptions)
            throws IOException {
        Process process = launch(directory, environment, ramBytes, machine, guestOptions);
        try {
            return new TestQemu(directory, process);
        } catch (IOException | RuntimeException e) {
            process.destroyForcibly();
            throw e;
        }
    }

    static Path guest() {
        return Path.of(System.getProperty(NativeLibrary.DIRECTORY_PROPERTY), "kvm-guest.elf");
    }

    /** What the guest has printed on its serial port. */
    String serial() {
        try {
            Path file = directory.resolve("serial");
            return Files.exists(file) ? Files.readString(file) : "";
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The last number the guest printed, or -1. */
    long reportedWrites() {
        String[] lines = serial().split("\n", -1);
        // The last element is what follows the last newline: an unfinished line.
        for (int i = lines.length - 2; i >= 0; i--) {
            String number = lines[i].substring("vmft-guest ".length()).trim();
            if (!number.equals("drawn")) {
                return Long.parseLong(number);
            }
        }
        return -1;
    }

    /** Sends one command and returns its answer; events in between are skipped. */
    String execute(String command) throws IOException {
        qmp.write(ByteBuffer.wrap((command + "\n").getBytes(StandardCharsets.UTF_8)));
        while (true) {
            String line = readLine();
            if (line.startsWith("{\"return\"") || line.startsWith("{\"error\"")) {
                return line;
            }
        }
    }

    /** Stops the VM, saves its state where its tracker has it, and starts it again; returns the answer. */
    String saveState() throws IOException {
        return execute("{\"execute\":\"xen-save-devices-state\",\"arguments\":{\"filename\":\"" + Tracker.STATE_NAME
                + "\",\"live\":false}}");
    }

    /** Writes one byte each to pages of guest RAM, from inside QEMU as a device would; the VM runs again afterwards. */
    void writeFromQemu(int firstPage, int pages) throws IOException {
        Path socket = directory.resolve("gdb");
        execute("{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"gdbserver unix:" + socket
                + ",server=on,wait=off\"}}");
        try (SocketChannel gdb = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
            for (int page = firstPage; page < firstPage + pages; page++) {
                assertOk(gdb, "M" + Integer.toHexString(page * TrackerConfig.PAGE_BYTES) + ",1:5a");
            }
            assertOk(gdb, "D");
        }
        execute("{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"gdbserver none\"}}");
        Files.deleteIfExists(socket);
    }

    private static void assertOk(SocketChannel gdb, String packet) throws IOException {
        int sum = packet.chars().sum() & 0xff;
        gdb.write(ByteBuffer.wrap(String.format("$%s#%02x", packet, sum).getBytes(StandardCharsets.US_ASCII)));
        StringBuilder answer = new StringBuilder();
        ByteBuffer one = ByteBuffer.allocate(1);
        while (!answer.toString().endsWith("#9a")) {
            if (gdb.read(one.clear()) < 0) {
                throw new EOFException("the gdb stub ended: " + answer);
            }
            answer.append((char) one.get(0));
        }
        gdb.write(ByteBuffer.wrap(new byte[] {'+'}));
        if (!answer.toString().endsWith("$OK#9a")) {
            throw new IOException(packet + " was answered with " + answer);
        }
    }

    private String readLine() throws IOException {
        StringBuilder line = new StringBuilder();
        while (true) {
            while (received.hasRemaining()) {
                char c = (char) received.get();
                if (c == '\n') {
                    return line.toString();
                }
                if (c != '\r') {
                    line.append(c);
                }
            }
            received.clear();
            int n = qmp.read(received);
            received.flip();
            if (n < 0) {
                throw new EOFException("QMP ended");
            }
        }
    }

    String stderr() throws IOException {
        return Files.readString(directory.resolve("stderr"));
    }

    @Override
    public void close() throws IOException {
        qmp.close();
        process.destroyForcibly();
        try {
            process.waitFor(20, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
