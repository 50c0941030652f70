package io.vmft.engine.primary;

import com.google.protobuf.InvalidProtocolBufferException;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.channel.ConnectTimeoutException;
import io.vmft.engine.EngineContext;
import io.vmft.engine.blk.BlkControl;
import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.epoch.EpochStats;
import io.vmft.engine.replication.Link;
import io.vmft.engine.replication.LinkListener;
import io.vmft.engine.replication.Links;
import io.vmft.engine.vm.GuestVm;
import io.vmft.kvm.Chunk;
import io.vmft.kvm.Harvest;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.FrameType;
import io.vmft.proto.engine.v1.Hello;
import io.vmft.proto.engine.v1.Prepare;
import io.vmft.proto.engine.v1.Ready;
import io.vmft.proto.engine.v1.Welcome;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One VM protected by one backup, from connecting to the end of their connection; its epochs are a {@link CheckpointLoop}'s. On
 * the engine's loop only.
 *
 * <pre>
 *  CONNECTING ──welcome──▶ BEGINNING ──arbiter──▶ PREPARING ──ready──▶ SYNCING ──▶ CHECKPOINTING
 *       └───────────────────────┴───────────────────┴──────────────────┴──────────────┴──▶ ENDED
 * </pre>
 */
final class ProtectionSession implements LinkListener, CheckpointLoop.Owner {
    /** Hears what becomes of a session. */
    interface Owner {
        /** The arbiter's record changed. */
        void recordChanged(ArbiterRecord record);

        /** The first commit was accepted. */
        void protectedNow(ProtectionSession session);

        /** Another host runs the VM now: this one must end at once. */
        void fenced(String message);

        /** The storage host lost what the guest wrote: it must end at once. */
        void dataLost(String message);

        /** QEMU does not answer, as {@link CheckpointLoop.Owner#qemuSilent} says. */
        void qemuSilent(ProtectionSession session, Duration silence);

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

    /** Enough for a JVM's first compiler, and for its second to begin. */
    private static final int WARM_UP_SEALS = 3_000;

    private static final Logger log = LoggerFactory.getLogger(ProtectionSession.class);

    private final EngineContext context;
    private final GuestVm vm;
    private final HostPort standby;
    private final EpochStats stats;
    private final Owner owner;

    private Phase phase = Phase.CONNECTING;
    private @Nullable Link link;
    private @Nullable CheckpointLoop checkpoints;
    private @Nullable Thread sync;
    private String backupHost = "";
    private String progress = "";
    private long generation;
    /** BeginProtect was asked and not answered. */
    private boolean beginPending;

    private String endReason = "";

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
                    if (phase != Phase.ENDED) {
                        checkpoints().complete(frame.epoch());
                    }
                }
                case DIFFERS -> {
                    String where = frame.payload().toString(StandardCharsets.UTF_8);
                    log.error(
                            "{}: generation {}: VERIFICATION FAILED, the backup is given up: {}",
                            context.vm(),
                            generation,
                            where);
                    end("the backup's memory is not the guest's: " + where);
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
                        .setReason("it listens on " + standby)
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
            switch (reply.getRefusal().getCode()) {
                case FENCED -> owner.fenced(reply.getRefusal().getMessage());
                case DATA_LOST -> owner.dataLost(reply.getRefusal().getMessage());
                default -> log.debug("{}: {}", context.vm(), reply.getRefusal());
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
        // While the standby gets ready and memory is copied; the first pauses would wait for cold code on both hosts.
        var _ = context.control().warmUp(context.vm(), WARM_UP_SEALS);
        checkpoints = new CheckpointLoop(context, vm, to, generation, record.getSealedEpoch() + 1, stats, this);
        to.send(
                FrameType.PREPARE,
                0,
                Prepare.newBuilder()
                        .setGeneration(generation)
                        .setStandbyGeneration(record.getStandbyGeneration())
                        .addAllBlockPages(vm.layout().blockPages())
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
        FirstSync first = new FirstSync(
                vm.ram(),
                vm.tracker(),
                to,
                new Pace(context.config().protection().copying().syncRateBytes(), System::nanoTime),
                context.config().protection().epoch(),
                step -> context.handOver(() -> progress(step)));
        sync = Thread.ofPlatform().name(context.vm() + "-sync").daemon().start(() -> {
            try {
                first.run();
                context.handOver(this::synced);
            } catch (IOException | RuntimeException | Error e) {
                // Memory may be given back while it is read, or its file system be full.
                context.handOver(() -> end("first sync failed: " + e.getMessage()));
            } catch (InterruptedException e) {
                log.debug("{}: first sync was told to stop", context.vm(), e);
            }
        });
    }

    private void progress(FirstSync.Progress step) {
        progress = step.inWords();
        if (step.endsRound()) {
            log.info("{}: first sync: {}", context.vm(), progress);
        }
    }

    private void synced() {
        if (phase != Phase.SYNCING) {
            return;
        }
        sync = null;
        phase = Phase.CHECKPOINTING;
        checkpoints().start();
    }

    /** The checkpoints of this session. */
    CheckpointLoop checkpoints() {
        CheckpointLoop current = checkpoints;
        if (current == null) {
            throw new IllegalStateException("no checkpoint can run in phase " + phase);
        }
        return current;
    }

    /** As the VM's events; before this session's first checkpoint they are the end of an earlier session's last one. */
    void digests(int[] digests) {
        if (checkpoints != null) {
            checkpoints.digests(digests);
        }
    }

    void harvested(Harvest harvest) {
        if (checkpoints == null) {
            vm.tracker().voidCheckpoint(harvest.epoch());
        } else {
            checkpoints.harvested(harvest);
        }
    }

    void resumed(long stoppedNanos, long resumedNanos) {
        if (checkpoints != null) {
            checkpoints.resumed(stoppedNanos, resumedNanos);
        }
    }

    void chunk(Chunk chunk) {
        if (checkpoints == null) {
            vm.tracker().release(chunk.slot());
        } else {
            checkpoints.chunk(chunk);
        }
    }

    @Override
    public void firstCommitted() {
        owner.protectedNow(this);
    }

    @Override
    public void fenced(String message) {
        owner.fenced(message);
        end("fenced");
    }

    @Override
    public void dataLost(String message) {
        owner.dataLost(message);
        end("the storage host lost data");
    }

    /** How a QEMU that is ending ends tells what becomes of the VM: until then its backup must not be led to take it over. */
    @Override
    public void failed(String reason) {
        if (!vm.isEnding()) {
            end(reason);
        }
    }

    @Override
    public void qemuSilent(Duration silence) {
        owner.qemuSilent(this, silence);
    }

    /** Looks, about once a second, whether QEMU answers, as {@link CheckpointLoop#look} says. */
    void look(boolean storageAnswers) {
        if (checkpoints != null && phase == Phase.CHECKPOINTING) {
            checkpoints.look(storageAnswers);
        }
    }

    /** Tells the backup that the VM was shut down; there is nothing to take over. */
    void sayBye(String reason) {
        if (link != null && phase != Phase.ENDED) {
            link.send(FrameType.BYE, 0, reason.getBytes(StandardCharsets.UTF_8));
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
        if (sync != null) {
            sync.interrupt();
            sync = null;
        }
        if (checkpoints != null) {
            checkpoints.stop(reason);
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

    private void requirePhase(Phase expected, FrameType type) {
        if (phase != expected) {
            throw new IllegalStateException(type + " in phase " + phase);
        }
    }

    boolean isProtected() {
        return checkpoints != null && checkpoints.hasCommitted() && phase == Phase.CHECKPOINTING;
    }

    String describe() {
        return phase == Phase.SYNCING
                ? "first sync: " + progress
                : phase.toString().toLowerCase(java.util.Locale.ROOT);
    }

    HostPort standby() {
        return standby;
    }

    /** What was sent so far; null before the first checkpoint. */
    PageSender.@Nullable Totals sent() {
        return checkpoints == null ? null : checkpoints.sent();
    }

    long openEpoch() {
        return checkpoints == null ? 0 : checkpoints.epochs().openEpoch();
    }

    long completeEpoch() {
        return checkpoints == null ? 0 : checkpoints.epochs().completeEpoch();
    }

    long committedEpoch() {
        return checkpoints == null ? 0 : checkpoints.epochs().committedEpoch();
    }
}
