package io.vmft.blk.volume;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/** Netty's buffers as native memory, without a copy where they are native and in one piece. */
final class Bytes {
    /** Takes memory that is only valid during the call. */
    interface Use {
        void accept(MemorySegment memory) throws IOException;
    }

    /** All memory: a buffer's bytes are a slice of it, which is one object. By way of a {@link ByteBuffer} it is five for each request. */
    @SuppressWarnings("restricted")
    private static final MemorySegment MEMORY = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    private Bytes() {}

    /** The readable bytes of {@code source}, whose indices stay. */
    static void read(ByteBuf source, Use use) throws IOException {
        MemorySegment memory = inPlace(source);
        if (memory != null) {
            use.accept(memory);
            return;
        }
        ByteBuf copy = PooledByteBufAllocator.DEFAULT.directBuffer(source.readableBytes());
        try {
            copy.writeBytes(source, source.readerIndex(), source.readableBytes());
            use.accept(MemorySegment.ofBuffer(copy.nioBuffer()));
        } finally {
            copy.release();
        }
    }

    /** The readable bytes of {@code source} where they lie, valid as long as it is held; null if they are not native or not in one piece. */
    static @Nullable MemorySegment inPlace(ByteBuf source) {
        return inPlace(source, source.readerIndex(), source.readableBytes());
    }

    private static @Nullable MemorySegment inPlace(ByteBuf buffer, int index, int lengthBytes) {
        if (buffer.hasMemoryAddress()) {
            return MEMORY.asSlice(buffer.memoryAddress() + index, lengthBytes);
        }
        ByteBuffer view = buffer.nioBufferCount() == 1 ? buffer.nioBuffer(index, lengthBytes) : null;
        return view != null && view.isDirect() ? MemorySegment.ofBuffer(view) : null;
    }

    /** Lets {@code use} fill {@code lengthBytes} bytes and appends them to {@code destination}; nothing if it fails. */
    static void append(ByteBuf destination, int lengthBytes, Use use) throws IOException {
        destination.ensureWritable(lengthBytes);
        MemorySegment memory = inPlace(destination, destination.writerIndex(), lengthBytes);
        if (memory != null) {
            use.accept(memory);
            destination.writerIndex(destination.writerIndex() + lengthBytes);
            return;
        }
        ByteBuf copy = PooledByteBufAllocator.DEFAULT.directBuffer(lengthBytes);
        try {
            use.accept(MemorySegment.ofBuffer(copy.nioBuffer(0, lengthBytes)));
            copy.writerIndex(lengthBytes);
            destination.writeBytes(copy);
        } finally {
            copy.release();
        }
    }

    static int crc(MemorySegment memory) {
        CRC32C crc = new CRC32C();
        crc.update(memory.asByteBuffer());
        return (int) crc.getValue();
    }
}
