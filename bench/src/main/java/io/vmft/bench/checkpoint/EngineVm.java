package io.vmft.bench.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.vmft.bench.OwnCommand;
import io.vmft.engine.EngineException;
import io.vmft.engine.monitor.MonitorClient;
import io.vmft.engine.vm.VmPaths;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** A VM under an engine, protected by a second one or alone. */
final class EngineVm {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Pattern STANDBY = Pattern.compile("ready .* listen=\\S*?:(\\d+)");
    private static final Pattern PRIMARY = Pattern.compile("ready ");
    private static final int PROTECT_SECONDS = 180;
    private static final int POLL_MILLIS = 100;

    private final String vm;
    private final Path folder;
    private final OwnProcess primary;
    private final @Nullable OwnProcess standby;
    private final Path serial;
    private long lastEpoch;

    private EngineVm(String vm, Path folder, OwnProcess primary, @Nullable OwnProcess standby, Path serial) {
        this.vm = vm;
        this.folder = folder;
        this.primary = primary;
        this.standby = standby;
        this.serial = serial;
    }

    /** Starts both engines and waits until the VM is protected. */
    static EngineVm protect(Ground ground, BlockServer storage, GuestKind kind, String vm)
            throws IOException, InterruptedException {
        Path standbyFile = write(ground, storage, kind, vm, "b", "listen: 127.0.0.1:0");
        OwnProcess standby = start(ground, "standby", vm, standbyFile, "b");
        MatchResult ready = standby.await(STANDBY);
        EngineVm started = run(ground, storage, kind, vm, "standbys: [127.0.0.1:" + ready.group(1) + "]", standby);
        started.awaitProtected();
        return started;
    }

    /** Starts one engine: the VM runs unprotected. */
    static EngineVm alone(Ground ground, BlockServer storage, GuestKind kind, String vm)
            throws IOException, InterruptedException {
        return run(ground, storage, kind, vm, "auto: false", null);
    }

    private static EngineVm run(
            Ground ground, BlockServer storage, GuestKind kind, String vm, String more, @Nullable OwnProcess standby)
            throws IOException, InterruptedException {
        OwnProcess primary = start(ground, "run", vm, write(ground, storage, kind, vm, "a", more), "a");
        primary.await(PRIMARY);
        return new EngineVm(vm, ground.folder(), primary, standby, serial(ground, vm, "a"));
    }

    private static Path serial(Ground ground, String vm, String host) {
        return ground.folder().resolve(vm + "-" + host + "-serial");
    }

    private static Path write(Ground ground, BlockServer storage, GuestKind kind, String vm, String host, String more)
            throws IOException {
        return Files.writeString(
                ground.folder().resolve(vm + "-" + host + ".yaml"),
                kind.yaml(vm, vm, storage.nbd(), storage.control(), vm + "-" + host, serial(ground, vm, host), more));
    }

    private static OwnProcess start(Ground ground, String command, String vm, Path file, String host)
            throws IOException {
        return OwnProcess.start(
                ground,
                vm + "-" + host,
                OwnCommand.ENGINE,
                List.of(
                        command,
                        file.toString(),
                        "--host",
                        host,
                        "--run-dir",
                        ground.folder().resolve(host).toString()));
    }

    private void awaitProtected() throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PROTECT_SECONDS);
        while (!status().path("mode").asText().equals("protected")) {
            primary.checkAlive();
            if (standby != null) {
                standby.checkAlive();
            }
            if (System.nanoTime() > deadline) {
                throw new IOException(vm + " is not protected after " + PROTECT_SECONDS + " s: " + status());
            }
            Thread.sleep(POLL_MILLIS);
        }
    }

    JsonNode status() throws IOException {
        return JSON.readTree(ask("status"));
    }

    /** The epochs since the last call, or since it was protected; those that the engine does not keep any more are missing. */
    List<Epoch> epochs() throws IOException {
        List<Epoch> epochs = new ArrayList<>();
        for (JsonNode each : JSON.readTree(ask("epochs " + lastEpoch))) {
            epochs.add(JSON.treeToValue(each, Epoch.class));
        }
        if (!epochs.isEmpty()) {
            lastEpoch = epochs.getLast().epoch();
        }
        return epochs;
    }

    /** Stops the guest at a committed checkpoint. */
    void pause() throws IOException {
        ask("pause");
    }

    void resume() throws IOException {
        ask("resume");
    }

    private String ask(String line) throws IOException {
        try {
            return MonitorClient.ask(VmPaths.monitorSocket(folder.resolve("a"), vm), vm, line);
        } catch (EngineException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** Where its first serial port goes. */
    Path serial() {
        return serial;
    }

    /** Guest RAM. */
    Path ram() {
        return Path.of(
                "/dev/shm", "vmft" + folder.resolve("a").resolve(vm).toString().replace('/', '-'), "ram");
    }

    OwnProcess primary() {
        return primary;
    }

    OwnProcess standby() {
        return Objects.requireNonNull(standby, "it runs alone");
    }

    void end() {
        primary.close();
        if (standby != null) {
            standby.close();
        }
    }
}
