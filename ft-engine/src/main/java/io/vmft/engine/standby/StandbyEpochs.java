package io.vmft.engine.standby;

import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.CorruptedFrameException;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.PagesPayload;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Staged checkpoints in front of a {@link RamImage}. An epoch is folded into the image only when it is known to be committed,
 * or when the arbiter chose it at takeover: until then the image stands at the last folded epoch and can still go to any
 * complete one.
 *
 * <p>Owns the payloads it is given and releases them when they are folded or dropped. Not thread-safe. A sequence no honest primary
 * sends throws {@link CorruptedFrameException}: the session must end; what was complete stays usable.
 */
public final class StandbyEpochs implements AutoCloseable {
    private static final class Staged {
        final long epoch;
        final List<PagesPayload> pages = new ArrayList<>();

        @Nullable
        ByteBuf deviceState;

        long pageCount;

        Staged(long epoch) {
            this.epoch = epoch;
        }

        long bytes() {
            return pageCount * (8 + Frame.PAGE_BYTES) + (deviceState == null ? 0 : deviceState.capacity());
        }

        void release() {
            pages.forEach(part -> part.payload().release());
            if (deviceState != null) {
                deviceState.release();
            }
        }
    }

    /**
     * The epochs a takeover may choose from.
     *
     * @param oldest the image's own epoch, or the first complete one while nothing is folded
     */
    public record Range(long oldest, long newest) {}

    private final RamImage image;
    private final ArrayDeque<Staged> complete = new ArrayDeque<>();
    private @Nullable Staged open;
    private long foldedEpoch;
    private @Nullable ByteBuf foldedState;

    public StandbyEpochs(RamImage image) {
        this.image = image;
    }

    /** Pages of the first sync: straight into the image, which no epoch describes yet. */
    public void syncPages(ByteBuf payload) {
        try {
            if (foldedEpoch != 0 || !complete.isEmpty()) {
                throw new CorruptedFrameException("first-sync pages after epoch " + newestComplete());
            }
            fold(PagesPayload.parse(payload, image.pages()));
        } finally {
            payload.release();
        }
    }

    public void pages(long epoch, ByteBuf payload) {
        try {
            Staged staged = opened(epoch);
            PagesPayload part = PagesPayload.parse(payload, image.pages());
            payload.retain();
            staged.pages.add(part);
            staged.pageCount += part.count();
        } finally {
            payload.release();
        }
    }

    public void deviceState(long epoch, ByteBuf payload) {
        try {
            Staged staged = opened(epoch);
            if (staged.deviceState != null || !payload.isReadable()) {
                throw new CorruptedFrameException("epoch " + epoch + ": a second or empty device state");
            }
            staged.deviceState = payload.retain();
        } finally {
            payload.release();
        }
    }

    /** The checkpoint ends here; from now on it is complete. */
    public void end(long epoch, long pageCount) {
        Staged staged = opened(epoch);
        if (staged.deviceState == null || staged.pageCount != pageCount) {
            throw new CorruptedFrameException("epoch " + epoch + " ends with " + pageCount + " pages, "
                    + staged.pageCount + " came, device state " + (staged.deviceState == null ? "missing" : "there"));
        }
        complete.add(staged);
        open = null;
    }

    /** The checkpoint is void. */
    public void abort(long epoch) {
        if (open != null && open.epoch == epoch) {
            open.release();
            open = null;
        }
    }

    /** Epochs up to this one are committed: folds them. */
    public void committed(long epoch) {
        if (epoch > newestComplete()) {
            throw new CorruptedFrameException(
                    "epoch " + epoch + " is said to be committed, the newest complete one is " + newestComplete());
        }
        foldUpTo(epoch);
    }

    /** What a takeover may choose from; null while no checkpoint is complete. */
    public @Nullable Range takeOverRange() {
        if (newestComplete() == 0) {
            return null;
        }
        Staged first = complete.peekFirst();
        return new Range(foldedEpoch != 0 || first == null ? foldedEpoch : first.epoch, newestComplete());
    }

    /**
     * Brings the image to {@code epoch} and drops everything later.
     *
     * @return the device state of that epoch; stays owned by this object
     */
    public ByteBuf goTo(long epoch) {
        foldUpTo(epoch);
        if (foldedEpoch != epoch || foldedState == null) {
            throw new IllegalStateException("cannot go to epoch " + epoch + ": the image stands at " + foldedEpoch);
        }
        dropStaged();
        return foldedState;
    }

    /** Bytes of payload held for epochs that are not folded. */
    public long stagedBytes() {
        long bytes = open == null ? 0 : open.bytes();
        for (Staged staged : complete) {
            bytes += staged.bytes();
        }
        return bytes;
    }

    /** The newest complete epoch, 0 before the first. */
    public long newestComplete() {
        Staged last = complete.peekLast();
        return last == null ? foldedEpoch : last.epoch;
    }

    /** The epoch the image stands at, 0 before the first fold. */
    public long foldedEpoch() {
        return foldedEpoch;
    }

    @Override
    public void close() {
        dropStaged();
        if (foldedState != null) {
            foldedState.release();
            foldedState = null;
        }
    }

    private void dropStaged() {
        complete.forEach(Staged::release);
        complete.clear();
        if (open != null) {
            open.release();
            open = null;
        }
    }

    private Staged opened(long epoch) {
        Staged staged = open;
        if (staged == null) {
            if (epoch <= newestComplete()) {
                throw new CorruptedFrameException("epoch " + epoch + " comes after epoch " + newestComplete());
            }
            staged = new Staged(epoch);
            open = staged;
        } else if (staged.epoch != epoch) {
            throw new CorruptedFrameException("epoch " + epoch + " inside epoch " + staged.epoch);
        }
        return staged;
    }

    private void foldUpTo(long epoch) {
        for (Staged next = complete.peekFirst(); next != null && next.epoch <= epoch; next = complete.peekFirst()) {
            complete.removeFirst();
            for (PagesPayload part : next.pages) {
                fold(part);
                part.payload().release();
            }
            if (foldedState != null) {
                foldedState.release();
            }
            foldedState = next.deviceState;
            foldedEpoch = next.epoch;
        }
    }

    private void fold(PagesPayload part) {
        for (int i = 0; i < part.count(); i++) {
            image.setPage(part.index(i), part.payload(), part.pageOffset(i));
        }
    }
}
