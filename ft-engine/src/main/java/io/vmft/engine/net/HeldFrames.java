package io.vmft.engine.net;

import java.lang.foreign.MemorySegment;

/**
 * Frames that wait for their epoch: a queue of bounded bytes and count, copied into one slab. Pure; the caller's lock guards it.
 *
 * <p>The slab is a ring of whole frames. A frame that does not fit before the slab's end goes to its start; the gap counts as
 * used until the frame after it leaves.
 */
final class HeldFrames {
    /** An Ethernet frame and the odd large one; what the frame count's bound is derived from. */
    static final int BYTES_PER_FRAME = 256;

    private final MemorySegment slab;
    private final long slabBytes;
    private final long[] epochs;
    private final long[] offsets;
    private final int[] lengths;
    private int first;
    private int frameCount;
    private long payloadBytes;

    /** Where the next frame goes if it fits before the slab's end. */
    private long tail;

    /** Makes a queue in {@code slab}, which stays the caller's and must outlive it. */
    HeldFrames(MemorySegment slab) {
        this.slab = slab;
        this.slabBytes = slab.byteSize();
        int maxFrames = (int) Math.max(1, slabBytes / BYTES_PER_FRAME);
        this.epochs = new long[maxFrames];
        this.offsets = new long[maxFrames];
        this.lengths = new int[maxFrames];
    }

    /**
     * Copies a frame in.
     *
     * @param epoch not below the one before
     * @return false if there is no room: nothing changed
     */
    boolean offer(long epoch, MemorySegment memory, long offset, int lengthBytes) {
        if (lengthBytes <= 0 || lengthBytes > slabBytes) {
            throw new IllegalArgumentException("a frame of " + lengthBytes + " bytes for " + slabBytes);
        }
        if (frameCount > 0 && epoch < epochs[index(frameCount - 1)]) {
            throw new IllegalArgumentException("epoch " + epoch + " after epoch " + epochs[index(frameCount - 1)]);
        }
        long place = place(lengthBytes);
        if (place < 0) {
            return false;
        }
        MemorySegment.copy(memory, offset, slab, place, lengthBytes);
        int slot = index(frameCount);
        epochs[slot] = epoch;
        offsets[slot] = place;
        lengths[slot] = lengthBytes;
        frameCount++;
        payloadBytes += lengthBytes;
        tail = place + lengthBytes;
        return true;
    }

    /**
     * Gives all frames of epochs up to {@code epoch} to {@code sink}, oldest first. A frame has left when the sink is called,
     * also if that throws.
     *
     * @return how many left
     */
    int release(long epoch, FrameSink sink) {
        int released = 0;
        while (frameCount > 0 && epochs[first] <= epoch) {
            long offset = offsets[first];
            int lengthBytes = lengths[first];
            first = index(1);
            frameCount--;
            payloadBytes -= lengthBytes;
            released++;
            sink.frame(slab, offset, lengthBytes);
        }
        return released;
    }

    /** Shows all frames of epochs above {@code after} and up to {@code through}, oldest first; they stay. */
    void show(long after, long through, FrameSink sink) {
        for (int i = 0; i < frameCount; i++) {
            int slot = index(i);
            if (epochs[slot] > after && epochs[slot] <= through) {
                sink.frame(slab, offsets[slot], lengths[slot]);
            }
        }
    }

    int frameCount() {
        return frameCount;
    }

    /** Bytes of the frames alone. */
    long payloadBytes() {
        return payloadBytes;
    }

    /** Where a frame fits, or -1. Used bytes run from the oldest frame's offset to the tail, around the slab's end. */
    private long place(int lengthBytes) {
        if (frameCount == 0) {
            return 0;
        }
        if (frameCount == epochs.length) {
            return -1;
        }
        long head = offsets[first];
        if (tail > head) {
            if (tail + lengthBytes <= slabBytes) {
                return tail;
            }
            return lengthBytes <= head ? 0 : -1;
        }
        return tail + lengthBytes <= head ? tail : -1;
    }

    private int index(int position) {
        int index = first + position;
        return index < epochs.length ? index : index - epochs.length;
    }
}
