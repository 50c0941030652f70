package io.vmft.proto.checkpoint;

import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;

/** Where a {@link FrameDecoder} puts payloads. Called on the channel's event loop. */
@FunctionalInterface
public interface PayloadAllocator {
    /**
     * Gives an empty buffer with room for {@code lengthBytes}, or null when there is no room now: the decoder then stops
     * reading until {@link FrameDecoder#resume}.
     */
    @Nullable
    ByteBuf allocate(FrameType type, int lengthBytes);
}
