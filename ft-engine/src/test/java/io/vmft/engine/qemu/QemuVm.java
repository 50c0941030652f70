package io.vmft.engine.qemu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.abort;

import io.vmft.engine.config.VmConfig;
import io.vmft.engine.net.MemoryPort;
import io.vmft.engine.net.NetGate;
import io.vmft.engine.qmp.QmpClient;
import io.vmft.engine.qmp.QmpEvent;
import io.vmft.engine.qmp.QmpListener;
import io.vmft.kvm.Chunk;
import io.vmft.kvm.Harvest;
import io.vmft.kvm.Hello;
import io.vmft.kvm.Tracker;
import io.vmft.kvm.TrackerConfig;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;

/** A real QEMU with libvmft, its QMP client and gates, in a folder of its own. */
final class QemuVm implements AutoCloseable {
    static final Duration TIMEOUT = Duration.ofSeconds(30);
    private static final long BLOCKS_BYTES = 32 << 20;

    final QemuRuntime runtime;
    final QemuProcess process;
    final QmpClient qmp;
    final List<QmpEvent> events;
    final List<MemoryPort> ports;
    final List<NetGate> gates;
    private final Tracker tracker;

    private QemuVm(
            QemuRuntime runtime,
            QemuProcess process,
            QmpClient qmp,
            List<QmpEvent> events,
            List<MemoryPort> ports,
            List<NetGate> gates,
            Tracker tracker) {
        this.tracker = tracker;
        this.runtime = runtime;
        this.process = process;
        this.qmp = qmp;
        this.events = events;
        this.ports = ports;
        this.gates = gates;
    }

    static void assumeQemu() {
        try {
            QemuProbe.find(Vms.QEMU);
        } catch (QemuException e) {
            abort(String.valueOf(e.getMessage()));
        }
    }

    static QemuVm start(VmConfig config, QemuInfo info, Path directory, boolean incoming) throws Exception {
        Files.createDirectories(directory);
        Path memory = Files.createTempDirectory(Path.of("/dev/shm"), "vmft-qemuvm");
        QemuRuntime runtime = new QemuRuntime(directory, memory.resolve("ram"), 0, incoming);
        List<QmpEvent> events = new CopyOnWriteArrayList<>();
        List<MemoryPort> ports = new ArrayList<>();
        List<NetGate> gates = new ArrayList<>();
        for (int i = 0; i < config.nics().size(); i++) {
            ports.add(new MemoryPort());
            NetGate.Mode mode = incoming ? NetGate.Mode.CLOSED : NetGate.Mode.OPEN;
            gates.add(NetGate.open(config.name(), i, runtime.nicSocket(i), ports.get(i), 1 << 20, mode));
        }
        Tracker tracker = Tracker.open(
                new TrackerConfig(
                        directory.resolve("tracker"),
                        memory.resolve("staging"),
                        directory.resolve("unarmed"),
                        runtime.ramFile(),
                        config.memoryBytes(),
                        memory.resolve("blocks"),
                        BLOCKS_BYTES,
                        1,
                        1,
                        TIMEOUT),
                new Unheard());
        try (QmpListener listener = QmpListener.bind(runtime.qmpSocket())) {
            QemuProcess process =
                    QemuProcess.start(config.name(), QemuCommandLine.of(config, info, runtime), tracker.environment());
            try {
                QmpClient qmp = listener.accept(config.name(), process.exited(), events::add, TIMEOUT);
                return new QemuVm(runtime, process, qmp, events, ports, gates, tracker);
            } catch (IOException e) {
                throw new IOException(process.killAndWait().inWords(), e);
            }
        } catch (IOException | InterruptedException e) {
            forget(tracker, memory);
            throw e;
        }
    }

    private static void forget(Tracker tracker, Path memory) throws IOException {
        tracker.close();
        Files.deleteIfExists(memory.resolve("ram"));
        Files.delete(memory);
    }

    private Path memory() {
        return Objects.requireNonNull(runtime.ramFile().getParent());
    }

    /** Where memory beside guest RAM lies. */
    Path blocksFile() {
        return memory().resolve("blocks");
    }

    private static final class Unheard implements Tracker.Listener {
        @Override
        public void connected(Hello hello) {}

        @Override
        public void chunk(Chunk chunk) {}

        @Override
        public void harvested(Harvest harvest) {}

        @Override
        public void disconnected(@Nullable Throwable cause) {}
    }

    /** Gives {@code target}, which waits, all the memory this VM has. */
    void copyMemoryTo(QemuVm target) throws IOException {
        copyInto(runtime.ramFile(), target.runtime.ramFile());
        copyInto(blocksFile(), target.blocksFile());
    }

    /** Writes through the file, as the engine does: the mapping must stay the same. */
    static void copyInto(Path source, Path target) throws IOException {
        byte[] bytes = Files.readAllBytes(source);
        try (var channel = Files.newByteChannel(target, StandardOpenOption.WRITE)) {
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            while (buffer.hasRemaining()) {
                channel.write(buffer);
            }
        }
    }

    String status() throws Exception {
        return qmp.call("query-status", null, TIMEOUT).path("status").asText();
    }

    /** Stops the VM and returns its device state. */
    ByteBuffer saveState() throws Exception {
        Path file = runtime.directory().resolve("state");
        qmp.call("stop", null, TIMEOUT);
        qmp.call(
                "xen-save-devices-state",
                QmpClient.arguments().put("filename", file.toString()).put("live", false),
                TIMEOUT);
        return ByteBuffer.wrap(Files.readAllBytes(file));
    }

    @Override
    public void close() throws IOException {
        qmp.close();
        gates.forEach(NetGate::close);
        try {
            process.killAndWait();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        assertThat(process.isAlive()).isFalse();
        forget(tracker, memory());
    }

    /** Guest memory at {@code address}, little-endian, as the file shows it. */
    static long counter(Path ramFile, long address) {
        try (var channel = Files.newByteChannel(ramFile)) {
            ByteBuffer bytes = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN);
            channel.position(address);
            channel.read(bytes);
            return Integer.toUnsignedLong(bytes.getInt(0));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A firmware that does nothing but count at {@link #COUNTER}. */
    static Path countingFirmware(Path directory) throws IOException {
        byte[] image = new byte[1 << 16];
        // inc dword [0x1000]; jmp back
        byte[] code = HexFormat.of().parseHex("66ff060010" + "ebf9");
        System.arraycopy(code, 0, image, 0xff00, code.length);
        byte[] reset = HexFormat.of().parseHex("e90dff");
        System.arraycopy(reset, 0, image, 0xfff0, reset.length);
        return Files.write(directory.resolve("counting.bin"), image);
    }

    static final long COUNTER = 0x1000;
}
