package io.vmft.proto.checkpoint;

import io.netty.buffer.ByteBuf;

/** Where a {@link FrameDecoder} puts payloads. Called on the channel's event loop. */
@FunctionalInterface
public interface PayloadAllocator {
    /**
     * Gives an empty buffer with room for {@code lengthBytes}.
     *
     * @throws io.netty.handler.codec.CorruptedFrameException if an honest sender would not have so much under way
     */
    ByteBuf allocate(FrameType type, int lengthBytes);
}
