package io.vmft.proto.checkpoint;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.util.ReferenceCounted;

/**
 * One frame with its payload. Owns the payload: whoever holds the frame last releases it.
 *
 * @param epoch the epoch it speaks of, 0 where it speaks of none
 */
public record Frame(FrameType type, long epoch, ByteBuf payload) implements ReferenceCounted {
    /** Bytes before the payload. */
    public static final int HEADER_BYTES = 24;
    /** Header bytes that the CRC covers. */
    static final int HEADER_CRC_BYTES = 20;

    static final int MAGIC = 0x564d4654;
    /** The version both engines must speak; part of {@code Hello}. */
    public static final int PROTOCOL = 2;

    public static final int PAGE_BYTES = 4096;
    /** The most pages in one frame. */
    public static final int MAX_PAGES = 4096;
    /** Bytes before the first page index in a page frame. */
    public static final int PAGES_PREFIX_BYTES = 8;
    /** The largest payload of a page frame. */
    public static final int MAX_PAGES_PAYLOAD_BYTES = PAGES_PREFIX_BYTES + MAX_PAGES * (8 + PAGE_BYTES);
    /** The largest payload of any other frame; device state of a VM with many devices is a few hundred KiB. */
    public static final int MAX_OTHER_PAYLOAD_BYTES = 16 << 20;

    public Frame {
        if (epoch < 0) {
            throw new IllegalArgumentException("epoch " + epoch);
        }
    }

    /** A frame without a payload. */
    public static Frame empty(FrameType type, long epoch) {
        return new Frame(type, epoch, Unpooled.EMPTY_BUFFER);
    }

    @Override
    public int refCnt() {
        return payload.refCnt();
    }

    @Override
    public Frame retain() {
        payload.retain();
        return this;
    }

    @Override
    public Frame retain(int increment) {
        payload.retain(increment);
        return this;
    }

    @Override
    public Frame touch() {
        return this;
    }

    @Override
    public Frame touch(Object hint) {
        payload.touch(hint);
        return this;
    }

    @Override
    public boolean release() {
        return payload.release();
    }

    @Override
    public boolean release(int decrement) {
        return payload.release(decrement);
    }
}
