package io.vmft.engine.qemu;

import com.fasterxml.jackson.databind.JsonNode;
import io.vmft.engine.qmp.QmpClient;
import io.vmft.engine.qmp.QmpEvent;
import io.vmft.engine.qmp.QmpException;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A QEMU started with {@code -incoming defer} that is connected and waits for the first byte of a saved state: everything that
 * could be done before a takeover is done. Until {@link #restore} it does not touch guest RAM. Not thread-safe.
 */
public final class IncomingVm implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(IncomingVm.class);

    private final String vm;
    private final QmpClient qmp;
    private final QemuProcess qemu;
    private final SocketChannel channel;
    private final String machineType;

    private IncomingVm(String vm, QmpClient qmp, QemuProcess qemu, SocketChannel channel, String machineType) {
        this.vm = vm;
        this.qmp = qmp;
        this.qemu = qemu;
        this.channel = channel;
        this.machineType = machineType;
    }

    /**
     * Lets QEMU listen on {@code socket} and connects to it.
     *
     * @param timeout for each of QEMU's answers
     * @throws QemuException if QEMU has ended, is not waiting for a state, or refuses
     */
    public static IncomingVm prepare(String vm, QmpClient qmp, QemuProcess qemu, Path socket, Duration timeout)
            throws IOException, InterruptedException {
        try {
            String type = qmp.call(
                            "qom-get",
                            QmpClient.arguments().put("path", "/machine").put("property", "type"),
                            timeout)
                    .asText();
            Files.deleteIfExists(socket);
            qmp.call("migrate-incoming", QmpClient.arguments().put("uri", "unix:" + socket), timeout);
            SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(socket));
            Files.deleteIfExists(socket);
            return new IncomingVm(vm, qmp, qemu, channel, machineType(type));
        } catch (QmpException e) {
            throw new QemuException(vm + ": QEMU does not wait for a saved state: " + e.description(), e);
        } catch (IOException e) {
            throw qemu.isAlive() ? e : died(vm, qemu, e);
        }
    }

    /** The machine's type as the state's stream names it, such as {@code pc-i440fx-7.2}. */
    public String machineType() {
        return machineType;
    }

    /**
     * Gives QEMU the state and waits until the guest runs. Guest RAM must be whole before. Whatever happens this object is
     * spent.
     *
     * @param savedState as {@code xen-save-devices-state} wrote it
     * @param timeout for the whole
     * @throws QemuException if QEMU does not take the state: it has ended then, or is ended here
     * @throws IllegalArgumentException if {@code savedState} is not one; nothing was sent
     */
    public void restore(ByteBuffer savedState, Duration timeout) throws IOException, InterruptedException {
        ByteBuffer stream = IncomingStream.of(machineType, savedState);
        CompletableFuture<QmpEvent> resumed = qmp.nextEvent("RESUME");
        // When QEMU ends, QMP ends too; what counts then are its last words.
        CompletableFuture<Object> outcome = new CompletableFuture<>();
        resumed.thenAccept(outcome::complete);
        qemu.exited().thenAccept(outcome::complete);
        outcome.orTimeout(timeout.toNanos(), TimeUnit.NANOSECONDS);
        // Also ends a write that QEMU does not read.
        CompletableFuture<Object> done = outcome.whenComplete((_, _) -> close());
        try {
            while (stream.hasRemaining()) {
                channel.write(stream);
            }
        } catch (IOException e) {
            LOG.debug("{}: sending the device state; what QEMU does next tells why", vm, e);
        }
        try {
            if (!(done.get() instanceof QmpEvent)) {
                throw died(vm, qemu, null);
            }
        } catch (ExecutionException e) {
            throw notRestored(e, timeout);
        } finally {
            resumed.cancel(false);
        }
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            LOG.debug("{}: closing the incoming socket", vm, e);
        }
    }

    private QemuException notRestored(ExecutionException e, Duration timeout) throws InterruptedException {
        String status;
        try {
            JsonNode answer = qmp.call("query-status", null, Duration.ofSeconds(1));
            status = "its status is " + answer.path("status").asText();
        } catch (IOException gone) {
            status = "it does not answer";
        }
        QemuExit exit = qemu.killAndWait();
        return new QemuException(
                vm + ": QEMU did not run the restored guest within " + timeout.toMillis() + " ms, " + status + "; "
                        + exit.inWords(),
                e.getCause());
    }

    private static QemuException died(String vm, QemuProcess qemu, @Nullable IOException cause)
            throws InterruptedException {
        return new QemuException(vm + ": " + qemu.killAndWait().inWords(), cause);
    }

    private static String machineType(String qomType) {
        String suffix = "-machine";
        return qomType.endsWith(suffix) ? qomType.substring(0, qomType.length() - suffix.length()) : qomType;
    }
}
