package io.vmft.engine.vm;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.netty.buffer.ByteBuf;
import io.netty.channel.EventLoop;
import io.vmft.config.Quantity;
import io.vmft.engine.EngineContext;
import io.vmft.engine.config.Nic;
import io.vmft.engine.config.VmConfig;
import io.vmft.engine.net.NetGate;
import io.vmft.engine.net.Tap;
import io.vmft.engine.qemu.IncomingVm;
import io.vmft.engine.qemu.QemuCommandLine;
import io.vmft.engine.qemu.QemuExit;
import io.vmft.engine.qemu.QemuProcess;
import io.vmft.engine.qemu.QemuRuntime;
import io.vmft.engine.qemu.RamBlock;
import io.vmft.engine.qmp.QmpClient;
import io.vmft.engine.qmp.QmpEvent;
import io.vmft.engine.qmp.QmpListener;
import io.vmft.engine.thread.PauseThreads;
import io.vmft.kvm.Chunk;
import io.vmft.kvm.Harvest;
import io.vmft.kvm.Hello;
import io.vmft.kvm.RamLayout;
import io.vmft.kvm.Tracker;
import io.vmft.kvm.TrackerConfig;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One QEMU with everything around it. Made for a VM that boots ({@code generation} is the primary's, gates open) or for one that
 * waits for a saved state (the standby's generation, gates closed).
 *
 * <p>Events go to whoever listens now, on the engine's loop. Methods may be called from the loop unless they say that they block.
 */
public final class GuestVm implements AutoCloseable {
    /** How long the VM may stand still for room, and its disks for a seal, before its checkpoint is void. */
    public static final Duration PAUSE_TIMEOUT = Duration.ofSeconds(2);

    private static final Logger log = LoggerFactory.getLogger(GuestVm.class);
    private static final Duration START_TIMEOUT = Duration.ofSeconds(30);
    private static final Duration EXIT_TIMEOUT = Duration.ofSeconds(2);
    private static final Duration RESTORE_TIMEOUT = Duration.ofSeconds(30);
    /** How long a QEMU that has closed its connections counts as about to be gone, if it was not told to end. */
    private static final Duration HUNG_UP_TIMEOUT = Duration.ofSeconds(5);

    /** A QEMU that waits for its disks, or hangs, does not end by itself. */
    private static final Duration QUIT_TIMEOUT = Duration.ofSeconds(10);

    private static final int SLOT_PAGES = 512;
    private static final int MAX_SLOTS = 128;
    /** For memory beside guest RAM: video memory, firmware, option ROMs. Only what there is takes memory. */
    private static final long BLOCKS_BYTES = 1L << 30;

    private static final class Unheard implements VmEvents {
        @Override
        public void chunk(Chunk chunk) {}

        @Override
        public void harvested(Harvest harvest) {}

        @Override
        public void resumed(long stoppedNanos, long resumedNanos) {}

        @Override
        public void networkLost(String why) {}

        @Override
        public void hungUp() {}

        @Override
        public void exited(QemuExit exit, boolean guestShutDown) {}
    }

    private final VmConfig config;
    private final VmPaths paths;
    private final QemuRuntime runtime;
    private final PauseThreads threads;
    private final EventLoop loop;
    /** To the loop, from any thread. */
    private final Consumer<Runnable> handOver;

    private final DiskStall diskStall;
    private final GuestNetwork network;

    private @Nullable GuestRam ram;
    private @Nullable RamLayout layout;
    private @Nullable Tracker tracker;
    private @Nullable QemuProcess qemu;
    private @Nullable QmpClient qmp;
    private @Nullable IncomingVm incoming;

    private VmEvents events = new Unheard();
    private volatile @Nullable LongConsumer harvestWatcher;
    private @Nullable QemuExit exit;
    private @Nullable String networkFailure;
    private boolean guestShutDown;
    private boolean quitting;
    private boolean closed;
    private long stoppedAtMicros = -1;
    private boolean hungUp;

    private GuestVm(EngineContext context, long generation, boolean waits) {
        this.config = context.config();
        this.paths = context.paths();
        this.loop = context.loop();
        this.handOver = context::handOver;
        this.network = new GuestNetwork(config.name());
        this.threads = context.pauseThreads();
        this.diskStall = new DiskStall(config.name(), loop, this::goOn);
        this.runtime = new QemuRuntime(paths.directory(), paths.ramFile(), generation, waits);
    }

    /**
     * Starts QEMU and waits until it answers. Blocks; not on the loop.
     *
     * @param waits wait for a saved state ({@link #restore}) instead of booting
     * @throws IOException if anything of it cannot be started: nothing of it is left then
     */
    public static GuestVm start(EngineContext context, long generation, boolean waits)
            throws IOException, InterruptedException {
        GuestVm vm = new GuestVm(context, generation, waits);
        try {
            vm.open(context);
        } catch (IOException | InterruptedException | RuntimeException | Error e) {
            vm.close();
            throw e;
        }
        return vm;
    }

    private void open(EngineContext context) throws IOException, InterruptedException {
        if (config.uefi().isPresent()) {
            config.uefi().get().prepare();
        }
        ram = GuestRam.create(paths.ramFile(), config.memoryBytes());
        int slots = Math.clamp(
                config.protection().stagingBytes() / ((long) SLOT_PAGES * TrackerConfig.PAGE_BYTES), 2, MAX_SLOTS);
        Tracker opened = Tracker.open(
                new TrackerConfig(
                        paths.trackerSocket(),
                        paths.stagingFile(),
                        paths.stateFile(),
                        paths.ramFile(),
                        config.memoryBytes(),
                        paths.blocksFile(),
                        BLOCKS_BYTES,
                        slots,
                        SLOT_PAGES,
                        PAUSE_TIMEOUT),
                new TrackerEvents());
        tracker = opened;
        for (int i = 0; i < config.nics().size(); i++) {
            Nic nic = config.nics().get(i);
            NetGate gate = NetGate.open(
                    config.name(),
                    i,
                    runtime.nicSocket(i),
                    Tap.open(nic.tap(), nic.bridge()),
                    config.protection().heldFramesBytes(),
                    runtime.incoming() ? NetGate.Mode.CLOSED : NetGate.Mode.OPEN);
            network.add(gate);
            gate.ended().whenCompleteAsync((ended, failure) -> gateEnded(failure), loop);
        }
        try (QmpListener listener = QmpListener.bind(runtime.qmpSocket())) {
            QemuProcess started = QemuProcess.start(
                    config.name(), QemuCommandLine.of(config, context.qemu(), runtime), opened.environment());
            qemu = started;
            CompletableFuture<QemuExit> exited = started.exited();
            exited.thenAcceptAsync(this::exited, loop);
            try {
                qmp = listener.accept(config.name(), exited, this::event, START_TIMEOUT);
            } catch (IOException e) {
                throw new IOException(config.name() + ": QEMU did not start: " + whyNot(exited, e), e);
            }
            threads.enlistQemu(started.pid());
        }
        present(qmp).closed().thenRunAsync(this::hungUp, loop);
        learnLayout(opened);
        if (runtime.incoming()) {
            incoming = IncomingVm.prepare(
                    config.name(), present(qmp), present(qemu), runtime.incomingSocket(), START_TIMEOUT);
        }
    }

    /** QEMU answers, so its machine is made: from here on its memory stays as it is. */
    private void learnLayout(Tracker opened) throws IOException, InterruptedException {
        RamLayout made;
        try {
            made = opened.freeze().get(START_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException | TimeoutException e) {
            throw new IOException(config.name() + ": libvmft does not tell what memory QEMU has: " + e.getMessage(), e);
        }
        if (!config.disks().isEmpty() && !opened.hasSeenSending()) {
            throw new IOException(config.name()
                    + ": this QEMU sends to its disks in a way that libvmft does not see, so it cannot be made to wait "
                    + "for the end of an epoch; use another QEMU (qemu: in the VM's file)");
        }
        layout = made;
        ram().add(paths.blocksFile(), made);
        List<RamBlock> blocks = RamBlock.list(present(qmp), START_TIMEOUT);
        Optional<RamBlock> untracked = RamBlock.firstMissing(blocks, QemuCommandLine.RAM_ID, made.blockPages());
        if (untracked.isPresent()) {
            throw new IOException(config.name() + ": memory " + untracked.get().name() + " of "
                    + Quantity.sizeInWords(untracked.get().totalBytes())
                    + " is neither guest RAM nor QEMU's own, so it cannot be copied to a backup; remove the device or backend "
                    + "that brings it from qemu_args");
        }
    }

    /** A QEMU that dies closes its sockets before it is gone; what it said last tells more than that. */
    private static String whyNot(CompletableFuture<QemuExit> exited, IOException e) throws InterruptedException {
        try {
            return exited.get(EXIT_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS).inWords();
        } catch (ExecutionException | TimeoutException alive) {
            return String.valueOf(e.getMessage());
        }
    }

    /** Who hears events from now on. On the loop. */
    public void listen(VmEvents listener) {
        events = listener;
        if (networkFailure != null) {
            listener.networkLost(networkFailure);
        }
        if (exit != null) {
            listener.exited(exit, guestShutDown);
        }
    }

    public GuestRam ram() {
        return present(ram);
    }

    /** What memory the guest has. */
    public RamLayout layout() {
        return present(layout);
    }

    /** Its network cards; how they begin is as {@link #start} says. */
    public GuestNetwork network() {
        return network;
    }

    public Tracker tracker() {
        return present(tracker);
    }

    public long pid() {
        return qemu == null ? 0 : qemu.pid();
    }

    /**
     * The next pause ends {@code epoch}. Completes, on any thread, when {@link #saveState} may follow.
     *
     * @param digests whether {@link VmEvents#digests} shall tell what all of memory holds; reading it makes the pause longer
     * @param preCopy whether to copy what is dirty now, while the guest runs, so that the pause has less to copy
     */
    public CompletableFuture<Void> arm(long epoch, boolean digests, boolean preCopy) {
        if (preCopy) {
            return tracker().armAndPreCopy(epoch, digests);
        }
        try {
            tracker().arm(epoch, digests);
            return CompletableFuture.completedFuture(null);
        } catch (IOException e) {
            return CompletableFuture.failedFuture(e);
        }
    }

    /** Completes when QEMU has gone on after the pause; fails if it could not save its state. */
    public CompletableFuture<JsonNode> saveState() {
        ObjectNode arguments =
                QmpClient.arguments().put("filename", Tracker.STATE_NAME).put("live", false);
        return present(qmp).execute("xen-save-devices-state", arguments);
    }

    /**
     * What the last pause saved, to be read before the next {@link #saveState}.
     *
     * @param room makes a buffer for so many bytes, which becomes the caller's
     */
    public ByteBuf savedState(IntFunction<ByteBuf> room) throws IOException {
        try (FileChannel file = FileChannel.open(paths.stateFile())) {
            int lengthBytes = Math.toIntExact(file.size());
            ByteBuf state = room.apply(lengthBytes);
            try {
                while (state.readableBytes() < lengthBytes) {
                    int read = state.readableBytes();
                    if (state.writeBytes(file, read, lengthBytes - read) < 0) {
                        throw new EOFException(paths.stateFile() + " became shorter while it was read");
                    }
                }
                return state;
            } catch (IOException | RuntimeException e) {
                state.release();
                throw e;
            }
        }
    }

    /**
     * Feeds a saved state to a QEMU that waits for one; completes when the VM runs.
     *
     * @param ageNanos of the state: the guest's clocks go on that much later
     */
    public CompletableFuture<Void> restore(byte[] state, long ageNanos) {
        IncomingVm waiting = present(incoming);
        CompletableFuture<Void> running = new CompletableFuture<>();
        Thread.ofVirtual().name(config.name() + "-restore").start(() -> {
            try {
                tracker().clockAhead(ageNanos);
                waiting.restore(ByteBuffer.wrap(state), RESTORE_TIMEOUT);
                tracker().clockAhead(0);
                running.complete(null);
            } catch (IOException | InterruptedException | RuntimeException e) {
                running.completeExceptionally(e);
            }
        });
        return running;
    }

    /**
     * Who hears first of an epoch whose harvest is valid, on the tracker's thread: what its disks wait for begins here, without a way over the loop. It
     * must not block; {@link VmEvents#harvested} is on its way when it is called. Null: nobody.
     */
    public void watchHarvests(@Nullable LongConsumer watcher) {
        harvestWatcher = watcher;
    }

    /** Stops the guest; completes when it stands. A checkpoint of a stopped guest leaves it stopped. */
    public CompletableFuture<JsonNode> stop() {
        diskStall.hold(true);
        return present(qmp).execute("stop");
    }

    /** Lets a stopped guest go on. An operator's pause is no checkpoint's: its length is not reported. */
    public CompletableFuture<JsonNode> cont() {
        diskStall.hold(false);
        return goOn();
    }

    private CompletableFuture<JsonNode> goOn() {
        stoppedAtMicros = -1;
        return present(qmp).execute("cont");
    }

    /** Which disk takes no more, so that the guest stands still; null: none. */
    public @Nullable String diskTrouble() {
        return diskStall.trouble();
    }

    /** Whether a connection to QEMU has ended: it saves no state any more. */
    public boolean isHungUp() {
        return !tracker().isConnected() || present(qmp).isClosed();
    }

    /** Whether {@link VmEvents#exited} is about to come, or {@link VmEvents#hungUp}; either tells more than what fails until then. */
    public boolean isEnding() {
        return exit != null || isHungUp();
    }

    private boolean toldToEnd() {
        return guestShutDown || quitting;
    }

    /** Asks QEMU to end; it flushes its disks. One that cannot be asked is ended at once, one that does not end is ended after some seconds. */
    public void quit() {
        if (present(qmp).isClosed()) {
            kill();
            return;
        }
        quitting = true;
        var _ = present(qmp).execute("quit");
        loop.schedule(
                () -> {
                    if (exit == null && !closed) {
                        log.warn("{}: QEMU does not end, killing it", config.name());
                        kill();
                    }
                },
                QUIT_TIMEOUT.toMillis(),
                TimeUnit.MILLISECONDS);
    }

    /** Ends QEMU at once and lets nothing more out. */
    public void kill() {
        network.close();
        if (qemu != null) {
            qemu.kill();
        }
    }

    /** Ends everything. Blocks until QEMU is gone, which after SIGKILL it is at once. */
    @Override
    public void close() {
        closed = true;
        kill();
        if (incoming != null) {
            incoming.close();
        }
        if (qmp != null) {
            qmp.close();
        }
        if (qemu != null) {
            qemu.exited().join();
        }
        if (tracker != null) {
            tracker.close();
        }
        if (ram != null) {
            ram.close();
            ram = null;
        }
    }

    private void event(QmpEvent event) {
        handOver.accept(() -> handle(event));
    }

    private void handle(QmpEvent event) {
        switch (event.name()) {
            case "STOP" -> stoppedAtMicros = event.timestampMicros();
            case "RESUME" -> {
                if (stoppedAtMicros >= 0) {
                    long stoppedNanos = EventTime.nanos(stoppedAtMicros);
                    events.resumed(stoppedNanos, stoppedNanos + (event.timestampMicros() - stoppedAtMicros) * 1000);
                    stoppedAtMicros = -1;
                }
            }
            case "BLOCK_IO_ERROR" -> diskStall.failed(event.data());
            case "SHUTDOWN" -> guestShutDown |= event.data().path("guest").asBoolean();
            default -> log.debug("{}: QEMU event {}", config.name(), event);
        }
    }

    private void hungUp() {
        if (!hungUp) {
            hungUp = true;
            loop.schedule(this::tellHungUp, HUNG_UP_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
        }
    }

    private void tellHungUp() {
        if (exit == null && !closed && !toldToEnd()) {
            events.hungUp();
        }
    }

    private void gateEnded(@Nullable Throwable failure) {
        if (failure != null && !closed && exit == null && !toldToEnd()) {
            networkFailure = String.valueOf(failure.getMessage());
            events.networkLost(networkFailure);
        }
    }

    private void exited(QemuExit how) {
        exit = how;
        diskStall.end();
        if (!closed) {
            events.exited(how, guestShutDown && how.status() == 0);
        }
    }

    private static <T> T present(@Nullable T part) {
        if (part == null) {
            throw new IllegalStateException("the VM is not running");
        }
        return part;
    }

    private final class TrackerEvents implements Tracker.Listener {
        @Override
        public void connected(Hello hello) {
            log.debug("{}: libvmft is in QEMU {}", config.name(), hello.pid());
            threads.enlist();
        }

        @Override
        public void chunk(Chunk chunk) {
            handOver.accept(() -> events.chunk(chunk));
        }

        @Override
        public void digests(long epoch, int[] digests) {
            handOver.accept(() -> events.digests(epoch, digests));
        }

        @Override
        public void harvested(Harvest harvest) {
            // Told before anything can follow from it: the loop hears of the harvest, then of its seal.
            handOver.accept(() -> events.harvested(harvest));
            LongConsumer watcher = harvestWatcher;
            if (harvest.valid() && watcher != null) {
                watcher.accept(harvest.epoch());
            }
        }

        @Override
        public void disconnected(@Nullable Throwable cause) {
            if (cause != null) {
                log.error("{}: lost libvmft: {}", config.name(), cause.getMessage());
                kill();
            }
            handOver.accept(GuestVm.this::hungUp);
        }
    }
}
