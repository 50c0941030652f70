package io.vmft.engine.standby;

import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.CorruptedFrameException;
import io.netty.util.collection.LongObjectHashMap;
import io.vmft.engine.replication.PageUnpacker;
import io.vmft.proto.checkpoint.Digests;
import io.vmft.proto.checkpoint.PackedPages;
import io.vmft.proto.checkpoint.PagesPayload;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.zip.CRC32C;
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
    /** Where a page's content is; a negative offset: it is all zeroes. */
    private record PageAt(ByteBuf payload, int offset) {}

    /** An epoch at which the image stands, and what the primary's memory was then. */
    public record Due(long epoch, Digests digests) {}

    private static final class Staged {
        final long epoch;
        final List<PagesPayload> pages = new ArrayList<>();

        @Nullable
        ByteBuf deviceState;

        @Nullable
        Digests digests;

        long pageCount;
        long pageBytes;
        /** Where each page's content is; null until the first page comes that is packed relative to what was before. */
        @Nullable
        LongObjectHashMap<PageAt> index;

        Staged(long epoch) {
            this.epoch = epoch;
        }

        long bytes() {
            return pageBytes + (deviceState == null ? 0 : deviceState.capacity());
        }

        void add(PagesPayload part) {
            pages.add(part);
            pageCount += part.count();
            pageBytes += part.payload().readableBytes();
        }

        /** Of a whole checkpoint. */
        LongObjectHashMap<PageAt> index() {
            LongObjectHashMap<PageAt> current = index;
            if (current == null) {
                LongObjectHashMap<PageAt> made = new LongObjectHashMap<>(Math.max(8, (int) pageCount * 2));
                pages.forEach(part ->
                        part.forEach((page, offset) -> made.put(page, new PageAt(part.payload(), offset))));
                index = made;
                current = made;
            }
            return current;
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
    private final PageUnpacker unpacker = new PageUnpacker();
    private long committed;
    private @Nullable Due due;

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
            staged.add(PagesPayload.parse(payload, image.pages()));
            payload.retain();
        } finally {
            payload.release();
        }
    }

    /** Pages made smaller; they are made whole at once. */
    public void packedPages(long epoch, ByteBuf payload) {
        try {
            Staged staged = opened(epoch);
            PackedPages packed = PackedPages.parse(payload, image.pages());
            int bytes = PageUnpacker.unpackedBytes(packed);
            ByteBuf whole = payload.alloc().directBuffer(bytes, bytes);
            try {
                unpacker.unpack(packed, this::newestContent, whole);
                staged.add(PagesPayload.parse(whole, image.pages()));
                whole.retain();
            } finally {
                whole.release();
            }
        } finally {
            payload.release();
        }
    }

    /** What a page held after all that was received before the open checkpoint. */
    private void newestContent(long page, byte[] target) {
        for (Iterator<Staged> newestFirst = complete.descendingIterator(); newestFirst.hasNext(); ) {
            PageAt at = newestFirst.next().index().get(page);
            if (at != null) {
                if (at.offset() < 0) {
                    Arrays.fill(target, (byte) 0);
                } else {
                    at.payload().getBytes(at.offset(), target);
                }
                return;
            }
        }
        image.getPage(page, target);
    }

    /** What the primary's memory and device state were at the end of the open checkpoint. */
    public void digests(long epoch, ByteBuf payload) {
        try {
            Staged staged = opened(epoch);
            Digests digests = Digests.parse(payload, image.pages());
            CRC32C crc = new CRC32C();
            if (staged.deviceState != null) {
                crc.update(staged.deviceState.nioBuffer());
            }
            if ((int) crc.getValue() != digests.deviceState()) {
                throw new CorruptedFrameException("epoch " + epoch + ": the device state is not the one QEMU saved");
            }
            staged.digests = digests;
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

    /** Epochs up to this one are committed: folds them, up to one that is to be verified first. */
    public void committed(long epoch) {
        if (epoch > newestComplete()) {
            throw new CorruptedFrameException(
                    "epoch " + epoch + " is said to be committed, the newest complete one is " + newestComplete());
        }
        committed = Math.max(committed, epoch);
        foldCommitted();
    }

    /** What the image must be equal to now, before it is folded further; null: nothing. */
    public @Nullable Due verificationDue() {
        return due;
    }

    /** The image was looked through. */
    public void verified() {
        due = null;
        foldCommitted();
    }

    private void foldCommitted() {
        for (Staged next = complete.peekFirst();
                due == null && next != null && next.epoch <= committed;
                next = complete.peekFirst()) {
            foldFirst();
            if (next.digests != null) {
                due = new Due(next.epoch, next.digests);
            }
        }
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
        due = null;
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
            foldFirst();
        }
    }

    private void foldFirst() {
        Staged next = complete.getFirst();
        // INVARIANT: an epoch stays staged until the image has all of it. Where a page cannot be written this throws.
        next.pages.forEach(this::fold);
        complete.removeFirst();
        next.pages.forEach(part -> part.payload().release());
        if (foldedState != null) {
            foldedState.release();
        }
        foldedState = next.deviceState;
        foldedEpoch = next.epoch;
    }

    private void fold(PagesPayload part) {
        part.forEach((index, offset) -> {
            if (offset < 0) {
                image.setZero(index);
            } else {
                image.setPage(index, part.payload(), offset);
            }
        });
    }
}
