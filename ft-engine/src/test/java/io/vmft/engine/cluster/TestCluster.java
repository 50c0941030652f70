package io.vmft.engine.cluster;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.netty.channel.Channel;
import io.vmft.blk.control.Coordinator.Outcome;
import io.vmft.blk.server.BlkServer;
import io.vmft.blk.server.BlkServerConfig;
import io.vmft.blk.server.VolumeSpec;
import io.vmft.config.ConfigException;
import io.vmft.engine.Engine;
import io.vmft.engine.EngineException;
import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.config.VmConfig;
import io.vmft.proto.blk.v1.ForceRequest;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.awaitility.Awaitility;
import org.awaitility.core.ConditionFactory;

/**
 * A real block server, real engines and real QEMUs on this machine, each engine with a run directory of its own. The guest is the one
 * that needs no disk and no kernel: it writes its memory in a seeded pattern for ever.
 */
final class TestCluster implements AutoCloseable {
    static final Duration PATIENCE = Duration.ofSeconds(60);
    /** Some hosts' KVM does not let a guest have the register of this feature. */
    private static final String KVM_CPU = "cpu_model: \"host,-arch-capabilities\"";

    private static final ObjectMapper JSON = new ObjectMapper();

    private static final String OWN_HOST = ownHost();
    private static final AtomicInteger OWN_PORTS = new AtomicInteger(7000);

    private final Path directory;
    private final BlkServer blk;
    private final List<Engine> engines = new ArrayList<>();

    TestCluster(Path directory) throws Exception {
        this.directory = directory;
        this.blk = BlkServer.start(BlkServerConfig.forTest(
                        directory.resolve("blk"),
                        List.of(VolumeSpec.parse("spare=" + directory.resolve("spare.img") + ",size=1M")))
                .build());
    }

    static void assumeItCanRun(String accelerator) {
        assumeTrue(
                System.getenv("PATH")
                        .lines()
                        .flatMap(path -> List.of(path.split(":")).stream())
                        .anyMatch(folder -> Files.isExecutable(Path.of(folder, "qemu-system-x86_64"))),
                "no qemu-system-x86_64 on PATH");
        assumeTrue(
                !accelerator.equals("kvm")
                        || (Files.isReadable(Path.of("/dev/kvm")) && Files.isWritable(Path.of("/dev/kvm"))),
                "/dev/kvm does not open");
    }

    static Path guest() {
        return Path.of(System.getProperty("vmft.native.dir"), "kvm-guest.elf");
    }

    String control() {
        return "127.0.0.1:" + blk.controlAddress().getPort();
    }

    /** Closes a VM as an operator does, whoever runs it. */
    void forceClosed(String vm) {
        Outcome outcome = blk.coordinator()
                .force(ForceRequest.newBuilder()
                        .setVm(vm)
                        .setGeneration(blk.coordinator().get(vm).getGeneration())
                        .setAction(ForceRequest.Action.CLOSE)
                        .setBy("operator@storage")
                        .setReason("a test")
                        .build());
        if (!outcome.accepted()) {
            throw new AssertionError(outcome.refusal());
        }
    }

    /** Where copies of dirty pages wait to be sent. */
    Path staging(String host, String vm) {
        return ram(host, vm).resolveSibling("staging");
    }

    /** A VM's file; {@code more} is YAML appended as it is. */
    Path file(String name, String accelerator, String more) throws IOException {
        Path file = directory.resolve(name + "-" + accelerator + Integer.toHexString(more.hashCode()) + ".yaml");
        return Files.writeString(file, """
                name: %s
                memory: 64M
                accelerator: %s
                blk_server: 127.0.0.1:1
                control: %s
                kernel: %s
                %s
                %s
                """.formatted(
                        name, accelerator, control(), guest(), accelerator.equals("kvm") ? KVM_CPU : "", more));
    }

    /** A QEMU that is over only some time after it has closed its sockets: something that it started holds its output open. */
    Path qemuThatEndsLate() throws IOException {
        return qemuAfter("(while kill -0 $$; do sleep 0.1; done; sleep 1) 2> /dev/null &");
    }

    Path qemuThatDoesNotStart() throws IOException {
        return qemuAfter("exec sleep 100");
    }

    /** What comes before it is left out where QEMU is only asked what it is. */
    private Path qemuAfter(String command) throws IOException {
        Path script = Files.writeString(directory.resolve("qemu-system-script"), """
                #!/bin/sh
                case "$*" in
                *"-name "*)
                    %s
                    ;;
                esac
                exec qemu-system-x86_64 "$@"
                """.formatted(command));
        Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwxr-xr-x"));
        return script;
    }

    /** The same, whose calls to the block server all go through {@code proxy}. */
    Path fileBehind(SlowProxy proxy, String name, String accelerator, String more) throws IOException {
        Path file = file(name, accelerator, more);
        return Files.writeString(file, Files.readString(file).replace(control(), proxy.address()));
    }

    /** A VM's file without a kernel; {@code more} is YAML appended as it is. */
    Path bareFile(String name, String suffix, String more) throws IOException {
        return Files.writeString(directory.resolve(name + suffix + ".yaml"), """
                name: %s
                accelerator: tcg
                blk_server: 127.0.0.1:1
                control: %s
                %s
                """.formatted(name, control(), more));
    }

    Engine run(Path file, String host) throws ConfigException, EngineException, InterruptedException {
        Engine engine = Engine.run(VmConfig.load(file), host, directory.resolve(host), false);
        engines.add(engine);
        return engine;
    }

    Engine standby(Path file, String host) throws ConfigException, EngineException, InterruptedException {
        Engine engine = Engine.standby(VmConfig.load(file), host, directory.resolve(host));
        engines.add(engine);
        return engine;
    }

    /** Where the engine of a VM on a host keeps the guest's RAM. */
    Path ram(String host, String vm) {
        return memory(host, vm).resolve("ram");
    }

    /** Where it keeps what else the guest can see of memory. */
    Path blocks(String host, String vm) {
        return memory(host, vm).resolve("blocks");
    }

    private Path memory(String host, String vm) {
        return Path.of(
                "/dev/shm",
                "vmft" + directory.resolve(host).resolve(vm).toString().replace('/', '-'));
    }

    static JsonNode status(Engine engine) {
        try {
            return JSON.readTree(ask(engine, "status"));
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    static String ask(Engine engine, String line) throws InterruptedException {
        try {
            return engine.command(line).get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
        } catch (ExecutionException | java.util.concurrent.TimeoutException e) {
            throw new IllegalStateException(line + ": " + e.getMessage(), e);
        }
    }

    /** Ends an engine's QEMU by SIGKILL. */
    static void killQemu(Engine engine) {
        ProcessHandle.of(status(engine).path("qemu_pid").asLong()).orElseThrow().destroyForcibly();
    }

    /** For what a whole VM and its engines do, on a machine that is busy with other things, too. */
    static ConditionFactory await() {
        return Awaitility.await().atMost(PATIENCE);
    }

    static ConditionFactory await(String what) {
        return Awaitility.await(what).atMost(PATIENCE);
    }

    static void awaitProtected(Engine primary) {
        await().until(() -> status(primary).path("mode").asText().equals("protected"));
    }

    static void awaitEpochs(Engine primary, long more) {
        long target = status(primary).path("epochs").asLong() + more;
        await().until(() -> status(primary).path("epochs").asLong() >= target);
    }

    /**
     * A new {@code HOST:PORT} where nobody listens, for an engine to listen at later. Nobody takes it before: the host is a loopback address
     * of this process alone, made of its number, and the port is none that the system chooses for anybody.
     */
    static String ownAddress() {
        return OWN_HOST + ":" + OWN_PORTS.getAndIncrement();
    }

    private static String ownHost() {
        long pid = ProcessHandle.current().pid();
        return "127.%d.%d.%d".formatted(64 + (pid >> 16), pid >> 8 & 0xff, pid & 0xff);
    }

    /** An address as {@link #ownAddress} gives it. */
    static InetSocketAddress parsed(String address) {
        HostPort parsed = HostPort.parse(address);
        return new InetSocketAddress(parsed.host(), parsed.port());
    }

    /** Where a channel of a server is bound, as {@code HOST:PORT}. */
    static String addressOf(Channel server) {
        InetSocketAddress bound = (InetSocketAddress) server.localAddress();
        return bound.getAddress().getHostAddress() + ":" + bound.getPort();
    }

    @Override
    public void close() {
        for (Engine engine : engines.reversed()) {
            if (!engine.ended().isDone()) {
                engine.stop("the test ends")
                        .orTimeout(PATIENCE.toSeconds(), TimeUnit.SECONDS)
                        .join();
            }
            engine.close();
        }
        blk.close();
    }
}
