package io.vmft.blk.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.netty.buffer.UnpooledByteBufAllocator;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;
import org.junit.jupiter.api.Test;

class BytesTest {
    private static final byte[] DATA = {1, 2, 3, 4, 5, 6, 7, 8};

    private static byte[] readable(MemorySegment memory) {
        return memory.toArray(ValueLayout.JAVA_BYTE);
    }

    private static void checkInPlace(ByteBuf whole) {
        try {
            whole.writeBytes(DATA);
            ByteBuf part = whole.slice(2, 5).skipBytes(1);
            MemorySegment memory = Objects.requireNonNull(Bytes.inPlace(part));
            assertThat(memory.isNative()).isTrue();
            assertThat(readable(memory)).containsExactly(4, 5, 6, 7);
            whole.setByte(4, 50);
            assertThat(readable(memory)).as("where they lie").containsExactly(4, 50, 6, 7);
        } finally {
            whole.release();
        }
    }

    @Test
    void nativeBytesAreReadWhereTheyLie() {
        checkInPlace(PooledByteBufAllocator.DEFAULT.directBuffer(64));
        checkInPlace(UnpooledByteBufAllocator.DEFAULT.directBuffer(64));
        ByteBuf filled = PooledByteBufAllocator.DEFAULT.directBuffer(64).writeZero(64);
        checkInPlace(Unpooled.compositeBuffer().addComponent(filled));
    }

    @Test
    void bytesThatAreNotInOneNativePieceAreCopied() throws Exception {
        ByteBuf composite = Unpooled.compositeBuffer()
                .addComponent(true, Unpooled.directBuffer().writeBytes(DATA, 0, 3))
                .addComponent(true, Unpooled.directBuffer().writeBytes(DATA, 3, 5));
        for (ByteBuf source : new ByteBuf[] {Unpooled.wrappedBuffer(DATA), composite}) {
            try {
                source.skipBytes(1);
                assertThat(Bytes.inPlace(source)).isNull();
                Bytes.read(source, memory -> {
                    assertThat(memory.isNative()).isTrue();
                    assertThat(readable(memory)).containsExactly(2, 3, 4, 5, 6, 7, 8);
                });
                assertThat(source.readerIndex()).isEqualTo(1);
            } finally {
                source.release();
            }
        }
    }

    @Test
    void whatIsAppendedIsFilledWhereItLiesOrCopied() throws Exception {
        for (ByteBuf destination : new ByteBuf[] {
            PooledByteBufAllocator.DEFAULT.directBuffer(4), Unpooled.buffer(4), Unpooled.compositeBuffer()
        }) {
            try {
                destination.writeBytes(DATA, 0, 3);
                Bytes.append(
                        destination,
                        5,
                        memory -> memory.copyFrom(MemorySegment.ofArray(DATA).asSlice(3)));
                assertThat(destination).isEqualTo(Unpooled.wrappedBuffer(DATA));
                assertThatThrownBy(() -> Bytes.append(destination, 5, _ -> {
                            throw new IOException("nothing");
                        }))
                        .isInstanceOf(IOException.class);
                assertThat(destination).as("nothing more").isEqualTo(Unpooled.wrappedBuffer(DATA));
            } finally {
                destination.release();
            }
        }
    }
}
