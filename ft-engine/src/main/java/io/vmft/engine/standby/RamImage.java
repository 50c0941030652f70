package io.vmft.engine.standby;

import io.netty.buffer.ByteBuf;

/** The backup's copy of guest RAM. Written by one thread. */
public interface RamImage {
    long pages();

    /** Sets one page from 4096 bytes of {@code source} at {@code offset}. */
    void setPage(long pageIndex, ByteBuf source, int offset);
}
