package io.vmft.engine.standby;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class FramesUnderWayTest {
    private final FramesUnderWay frames = new FramesUnderWay(10);
    private final List<ByteBuf> given = new ArrayList<>();

    @AfterEach
    void everyPayloadIsReleased() {
        frames.close();
        assertThat(frames.bytes()).isZero();
        assertThat(given).allSatisfy(payload -> assertThat(payload.refCnt()).isZero());
    }

    @Test
    void aTakeoverSendsWhatWasSentUpToItsEpochAndGivesWhatWasGivenFromItOn() {
        frames.output(4, payload(4));
        frames.output(5, payload(5));
        frames.output(6, payload(6));
        frames.input(4, payload(14));
        frames.input(5, payload(15));
        frames.input(6, payload(16));
        assertThat(replay(5)).containsExactly("sent 4", "sent 5", "given 15", "given 16");
    }

    @Test
    void whatIsCommittedThePrimarySendsItself() {
        frames.output(4, payload(4));
        frames.output(5, payload(5));
        frames.input(3, payload(13));
        frames.input(4, payload(14));
        frames.committed(4);
        assertThat(replay(5)).containsExactly("sent 5");
        assertThat(replay(4))
                .as("input of the committed epoch may be unknown to its guest")
                .containsExactly("given 14");
    }

    @Test
    void atTheBoundTheOldestInputIsForgottenFirst() {
        for (int i = 0; i < 5; i++) {
            frames.output(1, payload(i));
            frames.input(1, payload(10 + i));
        }
        frames.output(1, payload(5));
        assertThat(frames.bytes()).isEqualTo(10);
        assertThat(replay(1))
                .containsExactly(
                        "sent 0",
                        "sent 1",
                        "sent 2",
                        "sent 3",
                        "sent 4",
                        "sent 5",
                        "given 11",
                        "given 12",
                        "given 13",
                        "given 14");
    }

    private List<String> replay(long epoch) {
        List<String> done = new ArrayList<>();
        frames.replay(
                epoch, sent -> done.add("sent " + sent.getByte(0)), taken -> done.add("given " + taken.getByte(0)));
        return done;
    }

    private ByteBuf payload(int value) {
        ByteBuf payload = Unpooled.buffer(1).writeByte(value);
        given.add(payload);
        return payload;
    }
}
