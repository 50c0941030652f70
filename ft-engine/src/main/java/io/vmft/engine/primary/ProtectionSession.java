package io.vmft.engine.primary;

import com.google.protobuf.InvalidProtocolBufferException;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.channel.ConnectTimeoutException;
import io.vmft.engine.EngineContext;
import io.vmft.engine.EngineException;
import io.vmft.engine.blk.BlkControl;
import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.pipeline.CheckpointPipeline;
import io.vmft.engine.pipeline.PipelineAction;
import io.vmft.engine.pipeline.PipelineAction.Abort;
import io.vmft.engine.pipeline.PipelineAction.Commit;
import io.vmft.engine.pipeline.PipelineAction.ConfirmSealed;
import io.vmft.engine.pipeline.PipelineAction.Mark;
import io.vmft.engine.pipeline.PipelineAction.Release;
import io.vmft.engine.pipeline.PipelineAction.Seal;
import io.vmft.engine.pipeline.PipelineAction.SendEnd;
import io.vmft.engine.pipeline.PipelineAction.TellCommitted;
import io.vmft.engine.pipeline.PipelineAction.Trigger;
import io.vmft.engine.pipeline.PipelineAction.VoidPause;
import io.vmft.engine.replication.Link;
import io.vmft.engine.replication.LinkListener;
import io.vmft.engine.replication.Links;
import io.vmft.engine.vm.GuestVm;
import io.vmft.kvm.Chunk;
import io.vmft.kvm.Harvest;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.EpochReply;
import io.vmft.proto.blk.v1.Refusal;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.FrameType;
import io.vmft.proto.checkpoint.PagesPayload;
import io.vmft.proto.engine.v1.Hello;
import io.vmft.proto.engine.v1.Prepare;
import io.vmft.proto.engine.v1.Ready;
import io.vmft.proto.engine.v1.Welcome;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One VM protected by one backup, from connecting to the end of their connection. Carries out what the {@link CheckpointPipeline}
 * decides. On the engine's loop only.
 *
 * <pre>
 *  CONNECTING ──welcome──▶ BEGINNING ──arbiter──▶ PREPARING ──ready──▶ SYNCING ──▶ CHECKPOINTING
 *       └───────────────────────┴───────────────────┴──────────────────┴──────────────┴──▶ ENDED
 * </pre>
 */
final class ProtectionSession implements LinkListener {
    /** Hears what becomes of a session. */
    interface Owner {
        /** The arbiter's record changed. */
        void recordChanged(ArbiterRecord record);

        /** The first commit was accepted. */
        void protectedNow(ProtectionSession session);

        /** Another host runs the VM now: this one must end at once. */
        void fenced(String message);

        /**
         * The session is over; called once, last.
         *
         * @param begun the arbiter knows of the backup: GoSolo must be asked before output may go
         */
        void ended(ProtectionSession session, String reason, boolean begun);
    }

    enum Phase {
        CONNECTING,
        BEGINNING,
        PREPARING,
        SYNCING,
        CHECKPOINTING,
        ENDED
    }

    private static final Logger log = LoggerFactory.getLogger(ProtectionSession.class);
    private static final long STORAGE_RETRY_MILLIS = 200;
    private static final int MAX_OUTPUT_BYTES = 256 << 10;

    private final EngineContext context;
    private final GuestVm vm;
    private final HostPort standby;
    private final EpochStats stats;
    private final Owner owner;

    private Phase phase = Phase.CONNECTING;
    private @Nullable Link link;
    private @Nullable CheckpointPipeline pipeline;
    private @Nullable Thread sync;
    /** An operator's pause; null while the guest is to run. */
    private @Nullable CompletableFuture<Long> standing;

    /** The checkpoint made of the stopped guest, 0 before. */
    private long standingEpoch;

    private String backupHost = "";
    private String progress = "";
    private long generation;
    /** BeginProtect was asked and not answered. */
    private boolean beginPending;

    private String endReason = "";
    private boolean due;
    private boolean saving;
    private boolean committedOnce;
    private long outputSentThrough;

    ProtectionSession(
            EngineContext context, GuestVm vm, HostPort standby, long generation, EpochStats stats, Owner owner) {
        this.context = context;
        this.vm = vm;
        this.standby = standby;
        this.generation = generation;
        this.stats = stats;
        this.owner = owner;
    }

    void start() {
        InetSocketAddress address = new InetSocketAddress(standby.host(), standby.port());
        if (address.isUnresolved()) {
            end("standby " + standby + ": no such host");
            return;
        }
        Links.connect(context.loop(), address, context.linkConfig(), (type, length) -> allocate(length), this)
                .whenCompleteAsync(this::connected, context.loop());
    }

    private static ByteBuf allocate(int lengthBytes) {
        return io.netty.buffer.Unpooled.buffer(lengthBytes, lengthBytes);
    }

    private void connected(@Nullable Link connected, @Nullable Throwable failure) {
        if (connected == null) {
            end("standby " + standby + " does not answer (" + whyNoConnection(failure) + ")");
            return;
        }
        if (phase == Phase.ENDED) {
            connected.close("no longer wanted");
            return;
        }
        link = connected;
        connected.send(
                FrameType.HELLO,
                0,
                Hello.newBuilder()
                        .setProtocol(Frame.PROTOCOL)
                        .setVm(context.vm())
                        .setHost(context.host())
                        .setRamBytes(context.config().memoryBytes())
                        .putAllFingerprint(context.fingerprint().facts())
                        .setQemuVersion(context.qemu().version())
                        .setMachine(context.qemu().machine())
                        .build()
                        .toByteArray());
    }

    private static String whyNoConnection(@Nullable Throwable failure) {
        return switch (failure) {
            case null -> "no reason given";
            case ConnectTimeoutException late -> "no answer in time";
            case ConnectException refused -> "connection refused: is vmft ft-engine standby running there?";
            default -> String.valueOf(failure.getMessage());
        };
    }

    @Override
    public void frame(Link from, Frame frame) {
        try {
            switch (frame.type()) {
                case WELCOME -> welcome(Welcome.parseFrom(ByteBufUtil.getBytes(frame.payload())));
                case READY -> ready(Ready.parseFrom(ByteBufUtil.getBytes(frame.payload())));
                case COMPLETE -> {
                    if (pipeline != null) {
                        run(pipeline.complete(frame.epoch()));
                    }
                }
                default -> end("standby " + standby + " sent a " + frame.type() + " frame, which only a primary sends");
            }
        } catch (InvalidProtocolBufferException | IllegalStateException e) {
            end("standby " + standby + " broke the protocol: " + e.getMessage());
        } finally {
            frame.release();
        }
    }

    @Override
    public void closed(Link from, String reason) {
        end("backup " + (backupHost.isEmpty() ? standby.toString() : backupHost) + ": " + reason);
    }

    private void welcome(Welcome welcome) {
        requirePhase(Phase.CONNECTING, FrameType.WELCOME);
        if (!welcome.getRefusal().isEmpty()) {
            end("standby " + standby + " refuses: " + welcome.getRefusal());
            return;
        }
        backupHost = welcome.getHost();
        phase = Phase.BEGINNING;
        beginPending = true;
        context.control()
                .beginProtect(BeginProtectRequest.newBuilder()
                        .setVm(context.vm())
                        .setGeneration(generation)
                        .setBackup(backupHost)
                        .build())
                .whenCompleteAsync(this::begun, context.loop());
    }

    private void begun(@Nullable ArbiterReply reply, @Nullable Throwable failure) {
        beginPending = false;
        if (reply == null) {
            refused("block server " + context.control().address() + ": "
                    + (failure == null ? "no answer" : BlkControl.describe(failure)));
            return;
        }
        if (reply.hasRefusal()) {
            if (reply.getRefusal().getCode() == Refusal.Code.FENCED) {
                owner.fenced(reply.getRefusal().getMessage());
            }
            refused("block server refuses to protect: " + reply.getRefusal().getMessage());
            return;
        }
        ArbiterRecord record = reply.getRecord();
        generation = record.getGeneration();
        owner.recordChanged(record);
        Link to = link;
        if (phase == Phase.ENDED || to == null) {
            owner.ended(this, endReason, true);
            return;
        }
        phase = Phase.PREPARING;
        pipeline = new CheckpointPipeline(
                record.getSealedEpoch() + 1, context.config().protection().maxInFlight());
        to.send(
                FrameType.PREPARE,
                0,
                Prepare.newBuilder()
                        .setGeneration(generation)
                        .setStandbyGeneration(record.getStandbyGeneration())
                        .build()
                        .toByteArray());
    }

    private void refused(String reason) {
        if (phase == Phase.ENDED) {
            owner.ended(this, endReason, false);
        } else {
            phase = Phase.CONNECTING;
            end(reason);
        }
    }

    private void ready(Ready ready) {
        requirePhase(Phase.PREPARING, FrameType.READY);
        Link to = link;
        if (!ready.getRefusal().isEmpty() || to == null) {
            end("standby " + standby + " could not get ready: " + ready.getRefusal());
            return;
        }
        phase = Phase.SYNCING;
        log.info("{}: generation {}: copying memory to {}", context.vm(), generation, backupHost);
        FirstSync first =
                new FirstSync(vm.ram(), vm.tracker(), to, step -> context.loop().execute(() -> progress(step)));
        sync = Thread.ofPlatform().name(context.vm() + "-sync").daemon().start(() -> {
            try {
                first.run();
                context.loop().execute(this::synced);
            } catch (IOException e) {
                context.loop().execute(() -> end("first sync failed: " + e.getMessage()));
            } catch (InterruptedException e) {
                log.debug("{}: first sync was told to stop", context.vm(), e);
            }
        });
    }

    private void progress(FirstSync.Progress step) {
        progress = "round " + step.round() + ", " + step.sentPages() + " pages sent, " + step.dirtyPages() + " dirtied";
        log.info("{}: first sync: {}", context.vm(), progress);
    }

    private void synced() {
        if (phase != Phase.SYNCING) {
            return;
        }
        sync = null;
        phase = Phase.CHECKPOINTING;
        if (link != null) {
            vm.watchInput(new InputForwarder(link));
        }
        tick();
    }

    /** The policy: an epoch ends one interval after the VM went on. */
    private void tick() {
        due = true;
        pauseIfDue();
    }

    private void pauseIfDue() {
        CheckpointPipeline current = pipeline;
        if (standing != null) {
            standStill();
        } else if (phase == Phase.CHECKPOINTING && due && !saving && current != null && current.canPause()) {
            due = false;
            run(current.due());
        }
    }

    /** Stops the guest and makes one more checkpoint; completes when that is committed. */
    CompletableFuture<Long> pause() {
        CompletableFuture<Long> result = new CompletableFuture<>();
        standing = result;
        pauseIfDue();
        return result;
    }

    void resume() {
        standing = null;
        standingEpoch = 0;
        tick();
    }

    void paused(long epoch) {
        run(pipeline().paused(epoch));
    }

    /** Once, as soon as the pipeline has room: stop the guest, and the checkpoint after that finds it where it stays. */
    private void standStill() {
        CheckpointPipeline current = pipeline();
        if (phase != Phase.CHECKPOINTING || saving || standingEpoch != 0 || !current.canPause()) {
            return;
        }
        standingEpoch = current.openEpoch();
        vm.stop()
                .whenCompleteAsync(
                        (stopped, failure) -> {
                            if (failure != null) {
                                end("QEMU does not stop: " + failure.getMessage());
                            } else if (phase == Phase.CHECKPOINTING) {
                                run(current.due());
                            }
                        },
                        context.loop());
    }

    void chunk(Chunk chunk) {
        Link to = link;
        if (to == null || phase == Phase.ENDED) {
            vm.tracker().release(chunk.slot());
            return;
        }
        ByteBuf payload = PagesPayload.join(chunk.pageCount(), chunk.pageIndexes(), chunk.pages());
        to.send(new Frame(FrameType.PAGES, chunk.epoch(), payload))
                .addListener(sent -> vm.tracker().release(chunk.slot()));
    }

    void harvested(Harvest harvest) {
        stats.dirtyPages(harvest.dirtyPages());
        if (!harvest.valid()) {
            stats.voided();
            standingEpoch = 0;
        }
        run(pipeline().harvested(harvest.epoch(), harvest.valid(), harvest.dirtyPages()));
    }

    void resumed(long pauseNanos) {
        if (phase == Phase.CHECKPOINTING) {
            stats.pause(pauseNanos);
        }
    }

    private void save(long epoch) {
        saving = true;
        vm.saveState(epoch)
                .whenCompleteAsync(
                        (done, failure) -> {
                            saving = false;
                            if (failure != null && phase != Phase.ENDED) {
                                log.warn(
                                        "{}: epoch {}: QEMU could not save its state: {}",
                                        context.vm(),
                                        epoch,
                                        failure.getMessage());
                                vm.tracker().voidCheckpoint(epoch);
                                run(pipeline().saveFailed(epoch));
                            }
                            context.loop()
                                    .schedule(
                                            this::tick,
                                            context.config()
                                                    .protection()
                                                    .epoch()
                                                    .toNanos(),
                                            TimeUnit.NANOSECONDS);
                        },
                        context.loop());
    }

    private void run(List<PipelineAction> actions) {
        for (PipelineAction action : actions) {
            if (phase == Phase.ENDED) {
                return;
            }
            run(action);
        }
    }

    private void run(PipelineAction action) {
        switch (action) {
            case Trigger(long epoch) -> save(epoch);
            case Mark(long epoch) -> vm.endEpochOutput(epoch);
            case Seal(long epoch) -> seal(epoch);
            case ConfirmSealed(long epoch) -> vm.tracker().sealed(epoch);
            case VoidPause(long epoch) -> vm.tracker().voidCheckpoint(epoch);
            case Abort(long epoch) -> send(FrameType.ABORT, epoch);
            case SendEnd(long epoch, long pages) -> sendEnd(epoch, pages);
            case Commit(long epoch) -> commit(epoch);
            case Release(long epoch) -> vm.releaseOutput(epoch);
            case TellCommitted(long epoch) -> {
                send(FrameType.COMMITTED, epoch);
                committed();
            }
        }
    }

    private void seal(long epoch) {
        context.control()
                .seal(context.vm(), generation, epoch, GuestVm.PAUSE_TIMEOUT)
                .whenCompleteAsync(
                        (reply, failure) -> {
                            if (phase == Phase.ENDED) {
                                return;
                            }
                            if (reply != null && !reply.hasRefusal()) {
                                run(pipeline().sealed(epoch));
                            } else if (!isFenced(reply)) {
                                log.warn(
                                        "{}: epoch {}: not sealed, trying again with the next: {}",
                                        context.vm(),
                                        epoch,
                                        why(reply, failure));
                                run(pipeline().sealFailed(epoch));
                            }
                        },
                        context.loop());
    }

    private void sendEnd(long epoch, long pages) {
        Link to = link;
        if (to == null) {
            return;
        }
        byte[] state;
        try {
            state = vm.savedState();
        } catch (IOException e) {
            end("cannot read the device state QEMU saved: " + e.getMessage());
            return;
        }
        sendOutput(to, epoch);
        to.send(FrameType.DEVICE_STATE, epoch, state);
        to.send(FrameType.END, epoch, ByteBuffer.allocate(8).putLong(pages).array());
        pauseIfDue();
    }

    /** A copy of what is held: if this host dies before it may send it, the backup does. */
    private void sendOutput(Link to, long epoch) {
        ByteBuf frames = to.buffer(MAX_OUTPUT_BYTES);
        vm.copyHeldOutput(outputSentThrough, epoch, MAX_OUTPUT_BYTES - MAX_OUTPUT_BYTES / 8, frames);
        outputSentThrough = epoch;
        if (frames.isReadable()) {
            to.send(new Frame(FrameType.OUTPUT, epoch, frames));
        } else {
            frames.release();
        }
    }

    private void commit(long epoch) {
        if (phase == Phase.ENDED) {
            return;
        }
        context.control()
                .commit(context.vm(), generation, epoch)
                .whenCompleteAsync(
                        (reply, failure) -> {
                            if (phase == Phase.ENDED) {
                                return;
                            }
                            if (reply != null && !reply.hasRefusal()) {
                                long before = pipeline().committedEpoch();
                                run(pipeline().committed(epoch));
                                if (standing != null && standingEpoch == epoch) {
                                    standing.complete(epoch);
                                }
                                stats.committed(before == 0 ? 1 : epoch - before);
                                pauseIfDue();
                            } else if (!isFenced(reply)) {
                                commitFailed(epoch, reply, failure);
                            }
                        },
                        context.loop());
    }

    private void commitFailed(long epoch, @Nullable EpochReply reply, @Nullable Throwable failure) {
        if (reply != null && reply.getRefusal().getCode() == Refusal.Code.STORAGE_FAILED) {
            // Output stays held; an operator makes room, or the VM stands still at its limits.
            log.warn("{}: epoch {}: not committed, trying again: {}", context.vm(), epoch, why(reply, failure));
            context.loop().schedule(() -> commit(epoch), STORAGE_RETRY_MILLIS, TimeUnit.MILLISECONDS);
        } else {
            end("block server did not commit epoch " + epoch + ": " + why(reply, failure));
        }
    }

    private boolean isFenced(@Nullable EpochReply reply) {
        if (reply == null || reply.getRefusal().getCode() != Refusal.Code.FENCED) {
            return false;
        }
        owner.fenced(reply.getRefusal().getMessage());
        end("fenced");
        return true;
    }

    private static String why(@Nullable EpochReply reply, @Nullable Throwable failure) {
        if (reply != null) {
            return reply.getRefusal().getMessage();
        }
        return failure == null ? "no answer" : BlkControl.describe(failure);
    }

    private void committed() {
        if (!committedOnce) {
            committedOnce = true;
            owner.protectedNow(this);
        }
    }

    private void send(FrameType type, long epoch) {
        if (link != null) {
            link.send(type, epoch);
        }
    }

    /** Tells the backup that the VM was shut down; there is nothing to take over. */
    void sayBye(String reason) {
        if (link != null && phase != Phase.ENDED) {
            link.send(FrameType.BYE, 0, reason.getBytes(java.nio.charset.StandardCharsets.UTF_8));
        }
    }

    /** Ends the session; idempotent. */
    void end(String reason) {
        if (phase == Phase.ENDED) {
            return;
        }
        final Phase before = phase;
        phase = Phase.ENDED;
        endReason = reason;
        if (standing != null) {
            standing.completeExceptionally(new EngineException(context.vm() + ": the backup was lost: " + reason));
        }
        if (sync != null) {
            sync.interrupt();
            sync = null;
        }
        vm.watchInput(null);
        if (pipeline != null) {
            // Lets a pause that waits for a seal go on at once.
            vm.tracker().voidCheckpoint(pipeline.openEpoch() - 1);
        }
        if (link != null) {
            link.close(reason);
        }
        // While BeginProtect is under way nobody knows whether the arbiter knows the backup: its answer ends the
        // session.
        if (!beginPending) {
            owner.ended(this, reason, before.compareTo(Phase.BEGINNING) > 0);
        }
    }

    private CheckpointPipeline pipeline() {
        CheckpointPipeline current = pipeline;
        if (current == null) {
            throw new IllegalStateException("no checkpoint can run in phase " + phase);
        }
        return current;
    }

    private void requirePhase(Phase expected, FrameType type) {
        if (phase != expected) {
            throw new IllegalStateException(type + " in phase " + phase);
        }
    }

    Phase phase() {
        return phase;
    }

    boolean isProtected() {
        return committedOnce && phase == Phase.CHECKPOINTING;
    }

    String describe() {
        return phase == Phase.SYNCING
                ? "first sync: " + progress
                : phase.toString().toLowerCase(java.util.Locale.ROOT);
    }

    HostPort standby() {
        return standby;
    }

    long openEpoch() {
        return pipeline == null ? 0 : pipeline.openEpoch();
    }

    long completeEpoch() {
        return pipeline == null ? 0 : pipeline.completeEpoch();
    }

    long committedEpoch() {
        return pipeline == null ? 0 : pipeline.committedEpoch();
    }
}
