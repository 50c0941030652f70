package io.vmft.engine.blk;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.Status;
import java.io.IOException;
import java.nio.channels.ClosedChannelException;
import org.junit.jupiter.api.Test;

final class BlkControlTest {
    @Test
    void aConnectionThatClosesIsNoAnswer() {
        assertThat(mayBeAnsweredLater(Status.UNAVAILABLE)).isTrue();
        assertThat(mayBeAnsweredLater(
                        Status.UNKNOWN.withDescription("channel closed").withCause(new ClosedChannelException())))
                .isTrue();
    }

    @Test
    void whatTheServerAnsweredIsOne() {
        assertThat(mayBeAnsweredLater(Status.UNKNOWN)).isFalse();
        assertThat(mayBeAnsweredLater(Status.UNIMPLEMENTED)).isFalse();
        assertThat(BlkControl.mayBeAnsweredLater(new IOException("of something else")))
                .isFalse();
    }

    private static boolean mayBeAnsweredLater(Status status) {
        return BlkControl.mayBeAnsweredLater(status.asRuntimeException());
    }
}
