package io.vmft.engine;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.netty.channel.EventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.util.concurrent.DefaultThreadFactory;
import io.vmft.config.ConfigException;
import io.vmft.engine.blk.BlkControl;
import io.vmft.engine.config.Disk;
import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.config.VmConfig;
import io.vmft.engine.monitor.MonitorServer;
import io.vmft.engine.primary.PrimaryRole;
import io.vmft.engine.qemu.QemuInfo;
import io.vmft.engine.qemu.QemuProbe;
import io.vmft.engine.standby.StandbyRole;
import io.vmft.engine.thread.PauseThreads;
import io.vmft.engine.thread.SchedulingException;
import io.vmft.engine.vm.GuestVm;
import io.vmft.engine.vm.VmPaths;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.OpenRequest;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One process's guard of one VM: its loop, its files, its monitor, and the role it plays, which may change from standby to
 * primary. Made by {@link #run} or {@link #standby}; ends when {@link #ended} completes.
 */
public final class Engine implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Engine.class);
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final long SHUTDOWN_SECONDS = 5;

    private final EngineContext context;
    private final MultiThreadIoEventLoopGroup group;
    private final CompletableFuture<@Nullable EngineException> ended = new CompletableFuture<>();
    private @Nullable MonitorServer monitor;
    private @Nullable Role role;

    private Engine(EngineContext context, MultiThreadIoEventLoopGroup group) {
        this.context = context;
        this.group = group;
    }

    /**
     * Opens the VM at the arbiter and boots it. Waits for the block server to be there. Blocks until QEMU runs.
     *
     * @param fence take the VM from whatever host holds it
     */
    public static Engine run(VmConfig config, String host, Path runDir, boolean fence)
            throws EngineException, InterruptedException {
        Engine engine = prepare(config, host, runDir);
        try {
            engine.boot(fence, "started by its operator");
            return engine;
        } catch (EngineException | InterruptedException | RuntimeException e) {
            engine.close();
            throw e;
        }
    }

    /** Waits for a primary. Returns when primaries may connect; {@code ready} is told where. */
    public static Engine standby(VmConfig config, String host, Path runDir)
            throws EngineException, InterruptedException {
        Engine engine = prepare(config, host, runDir);
        try {
            engine.await();
            return engine;
        } catch (EngineException | InterruptedException | RuntimeException e) {
            engine.close();
            throw e;
        }
    }

    private static Engine prepare(VmConfig config, String host, Path runDir)
            throws EngineException, InterruptedException {
        VmPaths paths = null;
        MultiThreadIoEventLoopGroup group = null;
        try {
            QemuInfo qemu = QemuProbe.probe(config);
            PauseThreads threads = PauseThreads.of(config.protection());
            threads.check();
            paths = VmPaths.take(runDir, config.name());
            group = new MultiThreadIoEventLoopGroup(
                    1, new DefaultThreadFactory(config.name() + "-engine", true), EpollIoHandler.newFactory());
            EventLoop loop = group.next();
            loop.execute(threads::enlist);
            log.info(
                    "{}: QEMU {}, machine {}, {}",
                    config.name(),
                    qemu.version(),
                    qemu.machine(),
                    qemu.acceleratorReason());
            Engine engine = new Engine(
                    new EngineContext(
                            config,
                            qemu,
                            qemu.settle(config.fingerprint()),
                            host,
                            paths,
                            loop,
                            new BlkControl(config.control().toString(), loop, threads::enlist)),
                    group);
            engine.monitor = MonitorServer.open(VmPaths.monitorSocket(runDir, config.name()), engine::command);
            return engine;
        } catch (IOException | ConfigException | SchedulingException e) {
            if (group != null) {
                group.shutdownGracefully(0, 0, TimeUnit.SECONDS);
            }
            closeQuietly(paths);
            throw new EngineException(String.valueOf(e.getMessage()), e);
        }
    }

    private void boot(boolean fence, String reason) throws EngineException, InterruptedException {
        String vm = context.vm();
        ArbiterReply reply = get(context.control()
                .open(OpenRequest.newBuilder()
                        .setVm(vm)
                        .setHost(context.host())
                        .addAllVolumes(context.config().disks().stream()
                                .map(Disk::volume)
                                .toList())
                        .setFence(fence)
                        .setReason(reason)
                        .build()));
        if (reply.hasRefusal()) {
            throw new EngineException(vm + ": block server " + context.control().address() + " refuses: "
                    + reply.getRefusal().getMessage());
        }
        ArbiterRecord record = reply.getRecord();
        GuestVm guest;
        try {
            guest = GuestVm.start(context, record.getPrimaryGeneration(), false);
        } catch (IOException e) {
            get(context.control().closeVm(vm, record.getGeneration(), "QEMU did not start: " + e.getMessage()));
            throw new EngineException(String.valueOf(e.getMessage()), e);
        }
        log.info("{}: generation {}: running on {}, QEMU {}", vm, record.getGeneration(), context.host(), guest.pid());
        context.loop().execute(() -> becomePrimary(guest, record, null));
    }

    private void await() throws EngineException, InterruptedException {
        StandbyRole standby = new StandbyRole(context, this::becomePrimary);
        role = standby;
        try {
            InetSocketAddress address = standby.start().get();
            log.info("{}: standby on {} listens on {}", context.vm(), context.host(), address);
        } catch (ExecutionException e) {
            throw new EngineException(
                    context.vm() + ": cannot listen on "
                            + context.config().protection().listen() + " ("
                            + Objects.requireNonNullElse(e.getCause(), e).getMessage()
                            + "); free the port or set protection.listen",
                    e);
        }
    }

    private void becomePrimary(GuestVm guest, ArbiterRecord record, EngineStatus.@Nullable TakeOver takeOver) {
        PrimaryRole primary = new PrimaryRole(context, guest, record, takeOver, new PrimaryRole.Owner() {
            @Override
            public void ended(@Nullable EngineException failure) {
                ended.complete(failure);
            }

            @Override
            public void bootAgain() {
                Thread.ofVirtual().name(context.vm() + "-boot").start(Engine.this::bootAgain);
            }
        });
        Role before = role;
        role = primary;
        primary.start();
        if (before instanceof PrimaryRole primaryBefore) {
            primaryBefore.succeededBy(primary);
        }
    }

    private void bootAgain() {
        try {
            boot(false, "booted again, the storage host lost data");
        } catch (EngineException e) {
            ended.complete(e);
        } catch (InterruptedException e) {
            ended.complete(new EngineException(context.vm() + ": interrupted while it was booted again", e));
        }
    }

    /** Completes when the VM is over: with null if that was wanted, else with what went wrong. */
    public CompletableFuture<@Nullable EngineException> ended() {
        return ended.copy();
    }

    /** What the engine is doing now, in one line. Any thread. */
    public CompletableFuture<EngineStatus> status() {
        return onLoop(current -> CompletableFuture.completedFuture(current.status()));
    }

    /** Ends the VM or the wait for one; completes when nothing is left running. Any thread. */
    public CompletableFuture<Void> stop(String reason) {
        return onLoop(current -> current.stop(reason)).thenRun(() -> ended.complete(null));
    }

    /**
     * Carries out one line of the monitor. Any thread.
     *
     * @return the answer; fails with an {@link EngineException}
     */
    public CompletableFuture<String> command(String line) {
        String[] words = line.split("\\s+", 2);
        return switch (words[0]) {
            case "status" -> status().thenApply(Engine::json);
            case "epochs" -> epochs(words.length > 1 ? words[1] : "0");
            case "protect" -> protect(words.length > 1 ? words[1] : "");
            case "pause" -> onLoop(Role::pause).thenApply(epoch -> context.vm() + ": paused at epoch " + epoch);
            case "resume" -> onLoop(Role::resume).thenApply(done -> context.vm() + ": goes on");
            case "stop" -> stop("an operator said so").thenApply(done -> context.vm() + ": ended");
            default ->
                CompletableFuture.failedFuture(
                        new EngineException(
                                "\"" + words[0]
                                        + "\" is no command; there are status, epochs [AFTER], protect [HOST:PORT], pause, resume and stop"));
        };
    }

    private CompletableFuture<String> epochs(String after) {
        long epoch;
        try {
            epoch = Long.parseUnsignedLong(after);
        } catch (NumberFormatException e) {
            return CompletableFuture.failedFuture(new EngineException(
                    "\"" + after + "\" is no epoch; give a number, or nothing for all that are kept", e));
        }
        // Thousands of numbers: not written on the loop, where a pause may wait.
        return onLoop(current -> CompletableFuture.completedFuture(current.epochsAfter(epoch)))
                .thenApplyAsync(Engine::json);
    }

    private CompletableFuture<String> protect(String address) {
        Optional<HostPort> standby;
        try {
            standby = address.isEmpty() ? Optional.empty() : Optional.of(HostPort.parse(address));
        } catch (IllegalArgumentException e) {
            return CompletableFuture.failedFuture(new EngineException(String.valueOf(e.getMessage()), e));
        }
        return onLoop(current -> current.protect(standby));
    }

    private <T> CompletableFuture<T> onLoop(java.util.function.Function<Role, CompletableFuture<T>> call) {
        return CompletableFuture.supplyAsync(
                        () -> {
                            Role current = role;
                            return current == null
                                    ? CompletableFuture.<T>failedFuture(
                                            new EngineException(context.vm() + ": the VM is being started; ask again"))
                                    : call.apply(current);
                        },
                        context.loop())
                .thenCompose(java.util.function.Function.identity());
    }

    private static String json(Object records) {
        try {
            return JSON.writeValueAsString(records);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("records of numbers and strings can be written", e);
        }
    }

    private ArbiterReply get(CompletableFuture<ArbiterReply> reply) throws EngineException, InterruptedException {
        try {
            return reply.get();
        } catch (ExecutionException e) {
            throw new EngineException(
                    context.vm() + ": block server " + context.control().address() + ": "
                            + BlkControl.describe(Objects.requireNonNullElse(e.getCause(), e)),
                    e);
        }
    }

    /** Gives back what the engine holds on this host. The VM must be over. */
    @Override
    public void close() {
        closeQuietly(monitor);
        context.control().close();
        group.shutdownGracefully(0, SHUTDOWN_SECONDS, TimeUnit.SECONDS).syncUninterruptibly();
        closeQuietly(context.paths());
    }

    private static void closeQuietly(@Nullable AutoCloseable part) {
        if (part == null) {
            return;
        }
        try {
            part.close();
        } catch (Exception e) {
            log.debug("closing {}", part, e);
        }
    }
}
