package io.vmft.engine.vm;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.netty.channel.EventLoop;
import io.netty.channel.embedded.EmbeddedChannel;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class DiskStallTest {
    private final EmbeddedChannel clock = new EmbeddedChannel();
    private final EventLoop loop = clock.eventLoop();
    private final DiskStall stall = new DiskStall("vm1", loop, this::goOn);
    private int tries;
    private boolean full = true;

    @BeforeEach
    void freeze() {
        clock.freezeTime();
    }

    @AfterEach
    void close() {
        clock.close().syncUninterruptibly();
    }

    private void goOn() {
        tries++;
        if (full) {
            stall.failed(error("stop"));
        }
    }

    private static JsonNode error(String action) {
        return new ObjectMapper()
                .createObjectNode()
                .put("node-name", "disk0")
                .put("operation", "write")
                .put("action", action)
                .put("reason", "No space left on device");
    }

    private void pass(int seconds) {
        for (int i = 0; i < seconds; i++) {
            clock.advanceTimeBy(1, TimeUnit.SECONDS);
            clock.runScheduledPendingTasks();
        }
    }

    @Test
    void theGuestIsLetGoOnOnceASecondUntilNothingFails() {
        stall.failed(error("stop"));
        assertThat(stall.trouble()).isEqualTo("disk0: write: No space left on device");
        pass(3);
        assertThat(tries).isEqualTo(3);
        full = false;
        pass(1);
        assertThat(stall.trouble()).isNotNull();
        pass(1);
        assertThat(stall.trouble()).isNull();
        pass(10);
        assertThat(tries).isEqualTo(4);
    }

    @Test
    void anErrorThatTheGuestIsToldOfIsNoStall() {
        stall.failed(error("report"));
        pass(3);
        assertThat(stall.trouble()).isNull();
        assertThat(tries).isZero();
    }

    @Test
    void aGuestThatAnOperatorStoppedStaysStopped() {
        stall.failed(error("stop"));
        stall.hold(true);
        pass(3);
        assertThat(tries).isZero();
        assertThat(stall.trouble()).isNotNull();
        stall.hold(false);
        full = false;
        pass(2);
        assertThat(tries).isEqualTo(1);
        assertThat(stall.trouble()).isNull();
    }

    @Test
    void nothingIsTriedWhenTheGuestIsGone() {
        stall.failed(error("stop"));
        stall.end();
        pass(3);
        assertThat(tries).isZero();
    }
}
