package io.vmft.engine.standby;

import com.google.protobuf.InvalidProtocolBufferException;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.handler.codec.CorruptedFrameException;
import io.vmft.engine.EngineContext;
import io.vmft.engine.EngineException;
import io.vmft.engine.EngineStatus;
import io.vmft.engine.Role;
import io.vmft.engine.blk.BlkControl;
import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.config.Fingerprint;
import io.vmft.engine.epoch.EpochTimes;
import io.vmft.engine.replication.Link;
import io.vmft.engine.replication.LinkListener;
import io.vmft.engine.replication.Links;
import io.vmft.engine.vm.GuestVm;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.Mode;
import io.vmft.proto.blk.v1.TakeOverReply;
import io.vmft.proto.blk.v1.TakeOverRequest;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.FrameType;
import io.vmft.proto.checkpoint.NetFrames;
import io.vmft.proto.engine.v1.Hello;
import io.vmft.proto.engine.v1.Prepare;
import io.vmft.proto.engine.v1.Ready;
import io.vmft.proto.engine.v1.Welcome;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Waits for a primary, holds its VM's state, and takes the VM over when the primary is gone. On the engine's loop only.
 *
 * <pre>
 *  WAITING ──hello──▶ GREETED ──prepare──▶ STARTING ──▶ SYNCING ──first end──▶ HOLDING ──link lost──▶ TAKING_OVER
 *     ▲                  │                    │            │                      │bye                     │
 *     └──────────────────┴────────────────────┴────────────┴──────────────────────┴────────── refused ◀────┤
 *                                                                                               granted ──▶ (primary)
 * </pre>
 */
public final class StandbyRole implements Role, LinkListener {
    /** Takes the VM when the arbiter gave it to this host and it runs. */
    @FunctionalInterface
    public interface TookOver {
        void tookOver(GuestVm vm, ArbiterRecord record, EngineStatus.TakeOver takeOver);
    }

    private interface KeepFrames {
        void keep(FramesUnderWay frames, long epoch, ByteBuf payload);
    }

    private enum State {
        WAITING,
        GREETED,
        STARTING,
        SYNCING,
        HOLDING,
        TAKING_OVER,
        OVER
    }

    private static final Logger log = LoggerFactory.getLogger(StandbyRole.class);

    private static final int MAX_LINKS = 8;
    private static final long MAX_FRAMES_BYTES = 4L << 20;
    private static final long STAGING_SLACK_BYTES = 64L << 20;
    private static final long LOOK_MILLIS = 1000;
    private static final long ASK_AGAIN_MILLIS = 200;

    private final EngineContext context;
    private final TookOver tookOver;
    /** From when the VM's memory is known. */
    private long maxStagedBytes;

    private final CompletableFuture<Void> gone = new CompletableFuture<>();

    private State state = State.WAITING;
    private @Nullable Channel listening;
    private @Nullable Link primary;
    private int links;
    private @Nullable GuestVm vm;
    private @Nullable StandbyEpochs epochs;
    private final FramesUnderWay frames = new FramesUnderWay(MAX_FRAMES_BYTES);
    private String primaryHost = "";
    private Prepare prepared = Prepare.getDefaultInstance();
    private long completed;
    private @Nullable Verification verification;
    /** Complete epochs that the primary was not told of yet. */
    private final List<Long> unanswered = new ArrayList<>();

    private long verified;
    /** When the end of each epoch came that a takeover may still go to. */
    private final TreeMap<Long, Long> endedNanos = new TreeMap<>();

    public StandbyRole(EngineContext context, TookOver tookOver) {
        this.context = context;
        this.tookOver = tookOver;
    }

    /** Listens; completes with the address when primaries may connect. */
    public CompletableFuture<InetSocketAddress> start() {
        HostPort listen = context.config().protection().listen();
        return Links.listen(
                        context.loop(),
                        new InetSocketAddress(listen.host(), listen.port()),
                        context.linkConfig(),
                        this::allocate,
                        this,
                        this::accepted)
                .thenApply(channel -> {
                    listening = channel;
                    return (InetSocketAddress) channel.localAddress();
                });
    }

    private void accepted(Link link) {
        if (++links > MAX_LINKS) {
            link.close("more than " + MAX_LINKS + " connections at a time");
        }
    }

    /** INVARIANT: an honest primary has at most {@code max_in_flight} epochs here, each no larger than the guest's memory. */
    private ByteBuf allocate(FrameType type, int lengthBytes) {
        if (epochs != null && epochs.stagedBytes() + lengthBytes > maxStagedBytes) {
            throw new CorruptedFrameException("more than " + maxStagedBytes + " bytes of checkpoints staged");
        }
        return PooledByteBufAllocator.DEFAULT.directBuffer(lengthBytes, lengthBytes);
    }

    @Override
    public void frame(Link from, Frame frame) {
        try {
            if (frame.type() == FrameType.HELLO) {
                hello(from, Hello.parseFrom(ByteBufUtil.getBytes(frame.payload())));
            } else if (from != primary) {
                from.close("a " + frame.type() + " frame before HELLO");
            } else {
                fromPrimary(from, frame);
            }
        } catch (InvalidProtocolBufferException | CorruptedFrameException | IllegalStateException e) {
            from.close("primary " + primaryHost + " broke the protocol: " + e.getMessage());
        } finally {
            frame.release();
        }
    }

    private void fromPrimary(Link from, Frame frame) throws InvalidProtocolBufferException {
        switch (frame.type()) {
            case PREPARE -> prepare(from, Prepare.parseFrom(ByteBufUtil.getBytes(frame.payload())));
            case SYNC_PAGES -> epochs().syncPages(frame.payload().retain());
            case PAGES -> epochs().pages(frame.epoch(), frame.payload().retain());
            case PACKED_PAGES ->
                epochs().packedPages(frame.epoch(), frame.payload().retain());
            case DIGESTS -> epochs().digests(frame.epoch(), frame.payload().retain());
            case DEVICE_STATE ->
                epochs().deviceState(frame.epoch(), frame.payload().retain());
            case END -> {
                if (frame.payload().readableBytes() != 8) {
                    throw new CorruptedFrameException(
                            "END of " + frame.payload().readableBytes() + " bytes");
                }
                epochs().end(frame.epoch(), frame.payload().readLong());
                completed++;
                endedNanos.put(frame.epoch(), System.nanoTime());
                state = State.HOLDING;
                if (verification == null) {
                    from.send(FrameType.COMPLETE, frame.epoch());
                } else {
                    // While the image stands still, what is staged must not grow without end: the primary waits.
                    unanswered.add(frame.epoch());
                }
            }
            case OUTPUT -> keepFrames(frame, FramesUnderWay::output);
            case INPUT -> keepFrames(frame, FramesUnderWay::input);
            case ABORT -> epochs().abort(frame.epoch());
            case COMMITTED -> {
                epochs().committed(frame.epoch());
                frames.committed(frame.epoch());
                endedNanos.headMap(frame.epoch()).clear();
                verifyIfDue(from);
            }
            case BYE -> {
                log.info("{}: {}", context.vm(), frame.payload().toString(StandardCharsets.UTF_8));
                reset();
                from.close("the VM has ended");
            }
            default -> throw new CorruptedFrameException(frame.type() + " from a primary");
        }
    }

    private void verifyIfDue(Link from) {
        StandbyEpochs.Due due = epochs().verificationDue();
        if (due != null && verification == null) {
            verification = new Verification(due, guest().ram());
            verifyOn(from, verification);
        }
    }

    private void verifyOn(Link from, Verification running) {
        if (running != verification || from != primary) {
            return;
        }
        if (running.step()) {
            context.loop().execute(() -> verifyOn(from, running));
            return;
        }
        verification = null;
        if (!running.isEqual()) {
            differs(from, running);
            return;
        }
        verified++;
        epochs().verified();
        unanswered.forEach(epoch -> from.send(FrameType.COMPLETE, epoch));
        unanswered.clear();
        verifyIfDue(from);
    }

    /** Memory that is wrong must not run: this is no backup any more, until a new first sync. */
    private void differs(Link from, Verification failed) {
        String where = failed.inWords();
        log.error(
                "{}: generation {}: VERIFICATION FAILED, this is no backup any more: {}",
                context.vm(),
                prepared.getStandbyGeneration(),
                where);
        reset();
        from.send(FrameType.DIFFERS, failed.epoch(), where.getBytes(StandardCharsets.UTF_8))
                .addListener(sent -> from.close("verification failed " + where));
    }

    private GuestVm guest() {
        GuestVm current = vm;
        if (current == null) {
            throw new IllegalStateException("a checkpoint before READY");
        }
        return current;
    }

    private void keepFrames(Frame frame, KeepFrames how) {
        NetFrames.forEach(frame.payload(), context.config().nics().size(), (card, offset, length) -> {});
        how.keep(frames, frame.epoch(), frame.payload().retain());
    }

    private void hello(Link from, Hello hello) {
        String refusal = refusal(hello);
        if (refusal.isEmpty()) {
            primary = from;
            primaryHost = hello.getHost();
            state = State.GREETED;
        } else {
            log.warn("{}: refused primary {} ({}): {}", context.vm(), hello.getHost(), from.peer(), refusal);
        }
        from.send(
                FrameType.WELCOME,
                0,
                Welcome.newBuilder()
                        .setHost(context.host())
                        .setRefusal(refusal)
                        .build()
                        .toByteArray());
    }

    private String refusal(Hello hello) {
        if (state != State.WAITING) {
            return "it is busy with " + (primaryHost.isEmpty() ? "a takeover" : "primary " + primaryHost);
        }
        if (hello.getProtocol() != Frame.PROTOCOL) {
            return "it speaks protocol " + Frame.PROTOCOL + ", the primary " + hello.getProtocol()
                    + "; run the same vmft on both hosts";
        }
        if (hello.getHost().equals(context.host())) {
            return "both engines call their host " + context.host() + "; give one another name with --host";
        }
        if (!hello.getQemuVersion().equals(context.qemu().version())) {
            return "its QEMU is " + context.qemu().version() + ", the primary's " + hello.getQemuVersion()
                    + "; use the same on both hosts";
        }
        List<String> differences = context.fingerprint().differencesFrom(Fingerprint.of(hello.getFingerprintMap()));
        return differences.isEmpty()
                ? ""
                : String.join("; ", differences) + "; use the same VM file on both hosts (here: the standby)";
    }

    private void prepare(Link from, Prepare prepare) {
        if (state != State.GREETED) {
            throw new IllegalStateException("PREPARE while " + state);
        }
        prepared = prepare;
        state = State.STARTING;
        CompletableFuture<GuestVm> starting = new CompletableFuture<>();
        Thread.ofVirtual().name(context.vm() + "-start").start(() -> {
            try {
                starting.complete(GuestVm.start(context, prepare.getStandbyGeneration(), true));
            } catch (java.io.IOException | InterruptedException | RuntimeException e) {
                starting.completeExceptionally(e);
            }
        });
        starting.whenCompleteAsync((started, failure) -> started(from, started, failure), context.loop());
    }

    private void started(Link from, @Nullable GuestVm started, @Nullable Throwable failure) {
        if (started != null && (state != State.STARTING || from != primary)) {
            started.close();
            return;
        }
        if (started == null || !hasLayout(started, prepared)) {
            String why;
            if (started != null) {
                why = "its QEMU has memory of " + started.layout().blockPages()
                        + " pages beside guest RAM, the primary's " + prepared.getBlockPagesList()
                        + "; use the same QEMU, firmware and devices on both hosts";
                started.close();
            } else {
                why = failure == null ? "no reason given" : String.valueOf(failure.getMessage());
            }
            log.error("{}: cannot get ready: {}", context.vm(), why);
            from.send(
                    FrameType.READY,
                    0,
                    Ready.newBuilder().setRefusal(why).build().toByteArray());
            return;
        }
        vm = started;
        epochs = new StandbyEpochs(started.ram());
        long memoryBytes = started.ram().pages() * Frame.PAGE_BYTES;
        maxStagedBytes =
                STAGING_SLACK_BYTES + context.config().protection().maxInFlight() * (memoryBytes + memoryBytes / 64);
        completed = 0;
        state = State.SYNCING;
        started.listen(new StandbyVmEvents(this::qemuDied));
        log.info("{}: generation {}: ready for {}", context.vm(), prepared.getStandbyGeneration(), primaryHost);
        from.send(FrameType.READY, 0, Ready.getDefaultInstance().toByteArray());
        look(started);
    }

    private static boolean hasLayout(GuestVm started, Prepare prepared) {
        return started.layout().blockPages().equals(prepared.getBlockPagesList());
    }

    /** Once a second: is the VM's data there? Also keeps the way to the block server open, so that a takeover need not. */
    private void look(GuestVm waiting) {
        if (waiting != vm || state == State.TAKING_OVER) {
            return;
        }
        context.control()
                .get(context.vm())
                .whenCompleteAsync(
                        (reply, failure) -> {
                            if (waiting != vm) {
                                return;
                            }
                            if (reply != null) {
                                checkDataOf(reply.getRecord());
                            }
                            context.loop().schedule(() -> look(waiting), LOOK_MILLIS, TimeUnit.MILLISECONDS);
                        },
                        context.loop());
    }

    /** The primary's guest cannot go on after its storage host lost data; this backup can, from the epoch that stands. */
    private void checkDataOf(ArbiterRecord record) {
        Link from = primary;
        if (from != null
                && state == State.HOLDING
                && record.getDataLost()
                && record.getMode() == Mode.PROTECTED
                && record.getGeneration() == prepared.getGeneration()) {
            String reason = "the storage host lost data, epoch " + record.getCommittedEpoch() + " stands";
            primaryLost(reason);
            from.close(reason);
        }
    }

    private void qemuDied(String how) {
        log.error("{}: the waiting QEMU is gone, this is no backup any more: {}", context.vm(), how);
        if (state == State.TAKING_OVER) {
            return;
        }
        Link from = primary;
        reset();
        if (from != null) {
            from.close("the backup's QEMU is gone");
        }
    }

    @Override
    public void closed(Link from, String reason) {
        links--;
        if (from != primary) {
            log.info("{}: connection from {} ended: {}", context.vm(), from.peer(), reason);
            return;
        }
        primaryLost(reason);
    }

    private void primaryLost(String reason) {
        primary = null;
        verification = null;
        unanswered.clear();
        StandbyEpochs held = epochs;
        StandbyEpochs.Range range = held == null ? null : held.takeOverRange();
        if (held == null || range == null || state != State.HOLDING) {
            log.info(
                    "{}: primary {} left before there was anything to take over: {}",
                    context.vm(),
                    primaryHost,
                    reason);
            reset();
            return;
        }
        state = State.TAKING_OVER;
        log.warn(
                "{}: primary {} is suspected: {}; asking to take over at an epoch from {} to {}",
                context.vm(),
                primaryHost,
                reason,
                range.oldest(),
                range.newest());
        takeOver(held, range, reason, System.nanoTime());
    }

    private void takeOver(StandbyEpochs held, StandbyEpochs.Range range, String reason, long suspectedNanos) {
        if (state != State.TAKING_OVER || held != epochs) {
            return;
        }
        context.control()
                .takeOver(TakeOverRequest.newBuilder()
                        .setVm(context.vm())
                        .setGeneration(prepared.getGeneration())
                        .setHost(context.host())
                        .setOldestEpoch(range.oldest())
                        .setNewestEpoch(range.newest())
                        .setReason(reason)
                        .build())
                .whenCompleteAsync(
                        (reply, failure) -> {
                            if (reply != null && mayStillBeGranted(reply)) {
                                log.warn(
                                        "{}: not taken over yet, asking on: {}",
                                        context.vm(),
                                        reply.getRefusal().getMessage());
                                context.loop()
                                        .schedule(
                                                () -> takeOver(held, range, reason, suspectedNanos),
                                                ASK_AGAIN_MILLIS,
                                                TimeUnit.MILLISECONDS);
                            } else {
                                answered(reply, failure, reason, suspectedNanos);
                            }
                        },
                        context.loop());
    }

    /**
     * Whether the same call may be granted later: then what is held here is kept. While the block server cannot write nobody has the
     * VM. And in SYNCING the primary's first commit may be on its way; if it comes and the primary is gone, the VM is this backup's.
     * Whatever else becomes of the VM raises its generation, and FENCED ends this.
     */
    private static boolean mayStillBeGranted(TakeOverReply reply) {
        return switch (reply.getRefusal().getCode()) {
            case STORAGE_FAILED -> true;
            case WRONG_MODE -> reply.getRecord().getMode() == Mode.SYNCING;
            default -> false;
        };
    }

    private void answered(
            @Nullable TakeOverReply reply, @Nullable Throwable failure, String reason, long suspectedNanos) {
        if (state != State.TAKING_OVER) {
            return;
        }
        if (reply == null || reply.hasRefusal()) {
            log.warn(
                    "{}: not taken over: {}",
                    context.vm(),
                    reply != null
                            ? reply.getRefusal().getMessage()
                            : failure == null ? "no answer" : BlkControl.describe(failure));
            reset();
            return;
        }
        GuestVm guest = vm;
        StandbyEpochs held = epochs;
        if (guest == null || held == null) {
            throw new IllegalStateException("taking over without a VM");
        }
        byte[] deviceState = ByteBufUtil.getBytes(held.goTo(reply.getEpoch()));
        Long arrived = endedNanos.get(reply.getEpoch());
        guest.restore(deviceState, arrived == null ? 0 : System.nanoTime() - arrived)
                .whenCompleteAsync(
                        (running, failed) -> {
                            if (failed != null) {
                                log.error(
                                        "{}: epoch {}: QEMU could not go on: {}; boot the VM with: vmft ft-engine run",
                                        context.vm(),
                                        reply.getEpoch(),
                                        failed.getMessage());
                                reset();
                                return;
                            }
                            finish(guest, reply, reason, suspectedNanos);
                        },
                        context.loop());
    }

    private void finish(GuestVm guest, TakeOverReply reply, String reason, long suspectedNanos) {
        guest.openOutput();
        frames.replay(reply.getEpoch(), guest::sendFromBefore, guest::deliverAgain);
        frames.close();
        double millis = (System.nanoTime() - suspectedNanos) / 1e6;
        log.warn(
                "{}: generation {}, epoch {}: TOOK OVER from {} in {} ms; UNPROTECTED until a backup comes",
                context.vm(),
                reply.getRecord().getGeneration(),
                reply.getEpoch(),
                primaryHost,
                String.format(Locale.ROOT, "%.1f", millis));
        state = State.OVER;
        if (epochs != null) {
            epochs.close();
            epochs = null;
        }
        vm = null;
        closeListening();
        tookOver.tookOver(guest, reply.getRecord(), new EngineStatus.TakeOver(reply.getEpoch(), millis, reason));
    }

    /** Forgets the primary and its VM; another may come. */
    private void reset() {
        endedNanos.clear();
        verification = null;
        unanswered.clear();
        frames.close();
        if (epochs != null) {
            epochs.close();
            epochs = null;
        }
        if (vm != null) {
            vm.close();
            vm = null;
        }
        primary = null;
        if (state != State.OVER) {
            state = State.WAITING;
        }
    }

    private void closeListening() {
        if (listening != null) {
            listening.close();
        }
    }

    private StandbyEpochs epochs() {
        StandbyEpochs current = epochs;
        if (current == null) {
            throw new IllegalStateException("a checkpoint before READY");
        }
        return current;
    }

    @Override
    public CompletableFuture<String> protect(Optional<HostPort> standby) {
        return CompletableFuture.failedFuture(notHere());
    }

    @Override
    public CompletableFuture<Long> pause() {
        return CompletableFuture.failedFuture(notHere());
    }

    @Override
    public CompletableFuture<Void> resume() {
        return CompletableFuture.failedFuture(notHere());
    }

    private EngineException notHere() {
        return new EngineException(context.vm() + ": is a standby on this host; ask the primary");
    }

    @Override
    public CompletableFuture<Void> stop(String reason) {
        log.info("{}: standby ends: {}", context.vm(), reason);
        Link from = primary;
        state = State.OVER;
        reset();
        if (from != null) {
            from.close(reason);
        }
        closeListening();
        gone.complete(null);
        return gone;
    }

    @Override
    public EngineStatus status() {
        StandbyEpochs held = epochs;
        return new EngineStatus(
                context.vm(),
                context.host(),
                "standby",
                mode(),
                state.toString().toLowerCase(Locale.ROOT).replace('_', ' '),
                prepared.getGeneration(),
                0,
                held == null ? 0 : held.foldedEpoch(),
                held == null ? 0 : held.newestComplete(),
                completed,
                0,
                0,
                0,
                Map.of(),
                0,
                0,
                0,
                verified,
                context.qemu().accelerator().toString(),
                context.qemu().version(),
                vm == null ? 0 : vm.pid(),
                ProcessHandle.current().pid(),
                primary == null ? null : primary.peer(),
                listening == null ? null : String.valueOf(listening.localAddress()),
                null,
                null);
    }

    @Override
    public List<EpochTimes> epochsAfter(long epoch) {
        return List.of();
    }

    private String mode() {
        return switch (state) {
            case WAITING, GREETED, OVER -> "closed";
            case STARTING, SYNCING -> "syncing";
            case HOLDING, TAKING_OVER -> "protected";
        };
    }
}
