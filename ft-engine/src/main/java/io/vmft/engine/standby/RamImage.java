package io.vmft.engine.standby;

import io.netty.buffer.ByteBuf;

/** The backup's copy of all memory the guest can see. Written by one thread. */
public interface RamImage {
    long pages();

    /** Sets one page from 4096 bytes of {@code source} at {@code offset}. */
    void setPage(long pageIndex, ByteBuf source, int offset);

    /** Copies one page to {@code target}, which has as many bytes. */
    void getPage(long pageIndex, byte[] target);

    /** CRC-32C of a piece of memory, as {@link io.vmft.proto.checkpoint.Digests} counts them. */
    int digest(int piece);

    /** Fills one page with zeroes. */
    void setZero(long pageIndex);
}
