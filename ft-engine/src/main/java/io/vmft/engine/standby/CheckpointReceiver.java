package io.vmft.engine.standby;

import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.CorruptedFrameException;
import io.vmft.engine.replication.Link;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.FrameType;
import io.vmft.proto.checkpoint.NetFrames;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Receives one primary's checkpoints into the memory of the VM that waits here, and answers them: COMPLETE for a whole one, DIFFERS
 * when memory turns out not to be the primary's. Keeps what a takeover needs: {@link #epochs}, {@link #frames} and
 * {@link #ageNanos}.
 *
 * <p>Made by {@link StandbySession} when the VM is ready, and closed by it; the memory and the link stay the session's. On the
 * engine's loop only.
 */
final class CheckpointReceiver implements AutoCloseable {
    /** Hears what becomes of checkpoints. */
    interface Owner {
        /** One more is held whole, and not answered yet. */
        void complete();

        /** Memory was found equal to the primary's. */
        void equal();

        /** Memory is not the primary's: it must not run, and this receiver is to be closed. The primary is told afterwards. */
        void differs(String where);

        /** Memory could not be written, so it must not run; this receiver is to be closed. The primary is told by the end of its link. */
        void memoryFailed(String why);
    }

    private static final long MAX_FRAMES_BYTES = 4L << 20;
    private static final long STAGING_SLACK_BYTES = 64L << 20;

    private final Link primary;
    private final RamImage ram;
    private final int cards;
    private final long maxStagedBytes;
    private final Owner owner;

    private final StandbyEpochs epochs;
    private final FramesUnderWay frames = new FramesUnderWay(MAX_FRAMES_BYTES);
    private @Nullable Verification verification;
    /** Complete epochs that the primary was not told of yet. */
    private final List<Long> unanswered = new ArrayList<>();
    /** When the end of each epoch came that a takeover may still go to. */
    private final TreeMap<Long, Long> endedNanos = new TreeMap<>();

    /**
     * @param cards network cards the VM has
     * @param maxInFlight checkpoints an honest primary has under way at most
     */
    CheckpointReceiver(Link primary, RamImage ram, int cards, int maxInFlight, Owner owner) {
        this.primary = primary;
        this.ram = ram;
        this.cards = cards;
        this.owner = owner;
        this.epochs = new StandbyEpochs(ram);
        long memoryBytes = ram.pages() * Frame.PAGE_BYTES;
        this.maxStagedBytes = STAGING_SLACK_BYTES + maxInFlight * 2L * (memoryBytes + memoryBytes / 64);
    }

    /**
     * Called before so much of a frame is read. INVARIANT: an honest primary has at most {@code maxInFlight} epochs here, each with
     * every page of the guest's memory twice at most: before the pause and in it.
     */
    void requireRoom(int lengthBytes) {
        if (epochs.stagedBytes() + lengthBytes > maxStagedBytes) {
            throw new CorruptedFrameException("more than " + maxStagedBytes + " bytes of checkpoints staged");
        }
    }

    /** Takes what the primary sent; the frame stays the caller's. What no honest primary sends throws {@link CorruptedFrameException}. */
    void frame(Frame frame) {
        writingMemory(() -> take(frame));
    }

    /** Where the memory's file system is full, the JVM throws what a write to a mapping cannot return. */
    private void writingMemory(Runnable work) {
        try {
            work.run();
        } catch (InternalError e) {
            String why = "the VM's memory cannot be written, its file system may be full: " + e.getMessage();
            owner.memoryFailed(why);
            primary.close(why);
        }
    }

    private void take(Frame frame) {
        long epoch = frame.epoch();
        switch (frame.type()) {
            case SYNC_PAGES -> epochs.syncPages(frame.payload().retain());
            case PAGES -> epochs.pages(epoch, frame.payload().retain());
            case PACKED_PAGES -> epochs.packedPages(epoch, frame.payload().retain());
            case DIGESTS -> epochs.digests(epoch, frame.payload().retain());
            case DEVICE_STATE -> epochs.deviceState(epoch, frame.payload().retain());
            case END -> end(frame);
            case OUTPUT -> frames.output(epoch, netFrames(frame));
            case INPUT -> frames.input(epoch, netFrames(frame));
            case ABORT -> epochs.abort(epoch);
            case COMMITTED -> {
                epochs.committed(epoch);
                frames.committed(epoch);
                endedNanos.headMap(epoch).clear();
                verifyIfDue();
            }
            default -> throw new CorruptedFrameException(frame.type() + " from a primary");
        }
    }

    private void end(Frame frame) {
        if (frame.payload().readableBytes() != 8) {
            throw new CorruptedFrameException("END of " + frame.payload().readableBytes() + " bytes");
        }
        epochs.end(frame.epoch(), frame.payload().readLong());
        endedNanos.put(frame.epoch(), System.nanoTime());
        owner.complete();
        if (verification == null) {
            primary.send(FrameType.COMPLETE, frame.epoch());
        } else {
            // While the image stands still, what is staged must not grow without end: the primary waits.
            unanswered.add(frame.epoch());
        }
    }

    private ByteBuf netFrames(Frame frame) {
        NetFrames.forEach(frame.payload(), cards, (card, offset, length) -> {});
        return frame.payload().retain();
    }

    private void verifyIfDue() {
        StandbyEpochs.Due due = epochs.verificationDue();
        if (due != null && verification == null) {
            verification = new Verification(due, ram);
            verify(verification);
        }
    }

    private void verify(Verification running) {
        if (running != verification) {
            return;
        }
        if (running.step()) {
            primary.execute(() -> writingMemory(() -> verify(running)));
            return;
        }
        verification = null;
        if (!running.isEqual()) {
            differs(running);
            return;
        }
        owner.equal();
        epochs.verified();
        unanswered.forEach(epoch -> primary.send(FrameType.COMPLETE, epoch));
        unanswered.clear();
        verifyIfDue();
    }

    private void differs(Verification failed) {
        String where = failed.inWords();
        owner.differs(where);
        primary.send(FrameType.DIFFERS, failed.epoch(), where.getBytes(StandardCharsets.UTF_8))
                .addListener(sent -> primary.close("verification failed " + where));
    }

    /** The primary is gone: nothing is verified or answered any more; what is held stays. */
    void primaryLost() {
        verification = null;
        unanswered.clear();
    }

    /** The checkpoints that are held. */
    StandbyEpochs epochs() {
        return epochs;
    }

    /** The network frames that are held. */
    FramesUnderWay frames() {
        return frames;
    }

    /** How long ago {@code epoch} became complete; 0 if that is not known. */
    long ageNanos(long epoch) {
        Long arrived = endedNanos.get(epoch);
        return arrived == null ? 0 : System.nanoTime() - arrived;
    }

    /** Drops everything that is held. */
    @Override
    public void close() {
        primaryLost();
        endedNanos.clear();
        frames.close();
        epochs.close();
    }
}
