package io.vmft.proto.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.CorruptedFrameException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class NetFramesTest {
    @Test
    void framesStandOneAfterTheOther() {
        ByteBuf payload = Unpooled.buffer();
        NetFrames.writeHeader(payload, 1, 2);
        payload.writeBytes(new byte[] {10, 11});
        NetFrames.writeHeader(payload, 0, 1);
        payload.writeByte(12);
        assertThat(ByteBufUtil.hexDump(payload)).isEqualTo("0001000000000002" + "0a0b" + "0000000000000001" + "0c");
        List<String> seen = new ArrayList<>();
        NetFrames.forEach(
                payload,
                2,
                (card, offset, length) -> seen.add(card + ":" + ByteBufUtil.hexDump(payload, offset, length)));
        assertThat(seen).containsExactly("1:0a0b", "0:0c");
        assertThat(payload.readableBytes()).isEqualTo(19);
    }

    @Test
    void whatIsNotWholeOrForNoCardIsRefused() {
        for (String hex : List.of(
                "00000000000000",
                "0000000000000002ff",
                "00000000ffffffff00",
                "000000000000000000",
                "0002000000000001ff")) {
            ByteBuf payload = Unpooled.wrappedBuffer(ByteBufUtil.decodeHexDump(hex));
            assertThatThrownBy(() -> NetFrames.forEach(payload, 2, (card, offset, length) -> {}))
                    .as(hex)
                    .isInstanceOf(CorruptedFrameException.class);
        }
    }
}
