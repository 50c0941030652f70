package io.vmft.bench.checkpoint;

import io.vmft.config.ConfigException;
import io.vmft.engine.config.VmConfig;
import io.vmft.engine.qemu.QemuCommandLine;
import io.vmft.engine.qemu.QemuInfo;
import io.vmft.engine.qemu.QemuProbe;
import io.vmft.engine.qemu.QemuProcess;
import io.vmft.engine.qemu.QemuRuntime;
import io.vmft.engine.qmp.QmpClient;
import io.vmft.engine.qmp.QmpEvent;
import io.vmft.engine.qmp.QmpListener;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * The same QEMU with the same devices and nothing of vmft in it: what the pause of its bare {@code xen-save-devices-state} is, nobody can
 * undercut from outside. What its guest sends goes nowhere.
 */
final class BareVm implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(30);

    private final Path state;
    private final Path ram;
    private final Path serial;
    private @Nullable QemuProcess qemu;
    private @Nullable QmpClient qmp;
    private @Nullable ServerSocketChannel network;

    /** Of the QMP client's thread. */
    private long stoppedMicros = -1;

    private final List<Long> pauses = new ArrayList<>();

    private BareVm(Ground ground, String vm) {
        state = ground.memory(vm + "-state");
        ram = ground.memory(vm + "-ram");
        serial = ground.folder().resolve(vm + "-serial");
    }

    /** Boots it; its disk is the block server's bare volume {@code vm}, unprotected. */
    static BareVm start(Ground ground, String nbd, GuestKind kind, String vm) throws IOException, InterruptedException {
        BareVm bare = new BareVm(ground, vm);
        ground.add(bare);
        bare.boot(ground, nbd, kind, vm);
        return bare;
    }

    private void boot(Ground ground, String nbd, GuestKind kind, String vm) throws IOException, InterruptedException {
        Path directory = Files.createDirectories(ground.folder().resolve(vm));
        Path file = Files.writeString(
                directory.resolve("vm.yaml"), kind.yaml(vm, vm, nbd, "127.0.0.1:1", "none", serial, "auto: false"));
        QemuRuntime runtime = new QemuRuntime(directory, ram, 0, false);
        VmConfig config;
        QemuInfo info;
        try {
            config = VmConfig.load(file);
            info = QemuProbe.probe(config);
        } catch (ConfigException e) {
            throw new IOException(e.getMessage(), e);
        }
        if (kind.isLinux()) {
            ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
            server.bind(UnixDomainSocketAddress.of(runtime.nicSocket(0)));
            network = server;
            Thread.ofPlatform().daemon().name(vm + "-network").start(() -> drain(server));
        }
        try (QmpListener listener = QmpListener.bind(runtime.qmpSocket())) {
            QemuProcess started =
                    QemuProcess.start(vm, ground.inside(QemuCommandLine.of(config, info, runtime)), Map.of());
            qemu = started;
            qmp = listener.accept(vm, started.exited(), this::event, LIMIT);
        }
    }

    private static void drain(ServerSocketChannel server) {
        ByteBuffer buffer = ByteBuffer.allocateDirect(64 << 10);
        try (SocketChannel connection = server.accept()) {
            while (connection.read(buffer.clear()) >= 0) {
                // Frames of a guest that talks to nobody.
            }
        } catch (IOException _) {
            // It is over.
        }
    }

    private void event(QmpEvent event) {
        if (event.name().equals("STOP")) {
            stoppedMicros = event.timestampMicros();
        } else if (event.name().equals("RESUME") && stoppedMicros >= 0) {
            synchronized (pauses) {
                pauses.add((event.timestampMicros() - stoppedMicros) * 1_000);
            }
            stoppedMicros = -1;
        }
    }

    private QmpClient qmp() {
        QmpClient client = qmp;
        if (client == null) {
            throw new IllegalStateException("it was not booted");
        }
        return client;
    }

    /** Saves its state again and again, as an engine would, and returns the pauses in nanoseconds. */
    private List<Long> pauses(long epochNanos, long lengthNanos) throws IOException, InterruptedException {
        synchronized (pauses) {
            pauses.clear();
        }
        long end = System.nanoTime() + lengthNanos;
        while (System.nanoTime() < end) {
            qmp().call(
                            "xen-save-devices-state",
                            QmpClient.arguments()
                                    .put("filename", state.toString())
                                    .put("live", false),
                            LIMIT);
            long next = System.nanoTime() + epochNanos;
            for (long left = epochNanos; left > 0; left = next - System.nanoTime()) {
                LockSupport.parkNanos(left);
            }
        }
        synchronized (pauses) {
            return List.copyOf(pauses);
        }
    }

    /** As {@link #pauses}, while a protected VM stands still, which goes on afterwards. This VM stands still before and after. */
    List<Long> pausesInPlaceOf(EngineVm other, long epochNanos, long lengthNanos)
            throws IOException, InterruptedException {
        other.pause();
        cont();
        List<Long> found = pauses(epochNanos, lengthNanos);
        stop();
        other.resume();
        return found;
    }

    void stop() throws IOException, InterruptedException {
        qmp().call("stop", null, LIMIT);
        stoppedMicros = -1;
    }

    void cont() throws IOException, InterruptedException {
        stoppedMicros = -1;
        qmp().call("cont", null, LIMIT);
    }

    Path serial() {
        return serial;
    }

    Path ram() {
        return ram;
    }

    @Override
    public void close() throws IOException {
        if (qmp != null) {
            qmp.close();
        }
        if (qemu != null) {
            qemu.kill();
            qemu.exited().join();
        }
        if (network != null) {
            network.close();
        }
        Files.deleteIfExists(ram);
        Files.deleteIfExists(state);
    }
}
