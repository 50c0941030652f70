package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.nbd.LongReadWay.Way;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class LongReadWayTest {
    private static final int READ_BYTES = 1 << 20;
    private static final int WINDOW_READS = 8;

    private final LongReadWay choice = new LongReadWay();
    private long now;

    /** Windows of reads, each of which takes this long; returns the ways they went. */
    private List<Way> windows(int count, long sendNanos, long copyNanos) {
        List<Way> ways = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            Way way = choice.next();
            ways.add(way);
            for (int j = 0; j < WINDOW_READS; j++) {
                read(way == Way.SEND_FILE ? sendNanos : copyNanos);
            }
        }
        return ways;
    }

    private void read(long nanos) {
        choice.begun(choice.next(), now);
        now += nanos;
        choice.sent(READ_BYTES, now);
    }

    private static long count(List<Way> ways, Way way) {
        return ways.stream().filter(one -> one == way).count();
    }

    @Test
    void bothTakeTurnsBeforeOneIsChosen() {
        assertThat(windows(8, 100_000, 200_000))
                .containsExactly(
                        Way.SEND_FILE,
                        Way.COPY,
                        Way.SEND_FILE,
                        Way.COPY,
                        Way.SEND_FILE,
                        Way.COPY,
                        Way.SEND_FILE,
                        Way.COPY);
        assertThat(windows(31, 100_000, 200_000)).containsOnly(Way.SEND_FILE);
    }

    @Test
    void whatIsClearlyFasterIsChosen() {
        windows(8, 200_000, 170_000);
        assertThat(windows(31, 200_000, 170_000)).containsOnly(Way.COPY);
    }

    @Test
    void copyingMustBeClearlyFaster() {
        windows(8, 200_000, 190_000);
        assertThat(windows(31, 200_000, 190_000)).containsOnly(Way.SEND_FILE);
    }

    @Test
    void theSlowerWayIsTriedEverMoreRarely() {
        windows(8, 200_000, 100_000);
        List<Way> ways = windows(10_000, 200_000, 100_000);
        assertThat(count(ways.subList(0, 1000), Way.SEND_FILE)).isBetween(3L, 6L);
        assertThat(count(ways, Way.SEND_FILE)).isLessThan(25);
        assertThat(ways.subList(9000, 10_000)).contains(Way.SEND_FILE);
    }

    @Test
    void aWayThatBecomesFasterIsFoundOut() {
        windows(1000, 200_000, 100_000);
        assertThat(choice.next()).isEqualTo(Way.COPY);
        windows(2000, 50_000, 100_000);
        assertThat(count(windows(100, 50_000, 100_000), Way.SEND_FILE)).isGreaterThan(95);
    }

    @Test
    void aWayThatBecomesSlowerIsLeftAtOnce() {
        windows(1000, 200_000, 100_000);
        windows(20, 200_000, 400_000);
        assertThat(count(windows(30, 200_000, 400_000), Way.SEND_FILE)).isGreaterThan(28);
    }

    @Test
    void aClientsPausesDoNotCount() {
        for (int i = 0; i < 8 * WINDOW_READS; i++) {
            Way way = choice.next();
            now += way == Way.COPY ? 50_000_000 : 0;
            read(way == Way.SEND_FILE ? 200_000 : 100_000);
        }
        assertThat(choice.next()).isEqualTo(Way.COPY);
    }

    /** What a server does: it copies a read when it is asked for, while others are being sent; eight are under way at a time. */
    @Test
    void theOtherWaysWorkIsNotCounted() {
        List<Way> underWay = new ArrayList<>();
        for (int i = 0; i < 30 * WINDOW_READS; i++) {
            Way begun = choice.next();
            choice.begun(begun, now);
            underWay.add(begun);
            now += begun == Way.COPY ? 100_000 : 0;
            if (underWay.size() == 8) {
                now += underWay.removeFirst() == Way.COPY ? 50_000 : 120_000;
                choice.sent(READ_BYTES, now);
            }
        }
        assertThat(choice.next()).isEqualTo(Way.SEND_FILE);
    }

    /** A read of 32 MiB goes one way whatever is found in its middle. */
    @Test
    void theRestOfALongReadIsNotTheOtherWays() {
        for (int i = 0; i < 30; i++) {
            Way way = choice.next();
            for (int j = 0; j < 4 * WINDOW_READS; j++) {
                choice.begun(way, now);
                now += way == Way.COPY ? 100_000 : 200_000;
                choice.sent(READ_BYTES, now);
            }
        }
        assertThat(choice.next()).isEqualTo(Way.COPY);
    }

    @Test
    void whatElseTheMachineDoesNowAndThenDoesNotMatter() {
        for (int i = 0; i < 8; i++) {
            Way way = choice.next();
            long disturbed = i % 3 == 0 ? 2_000_000 : 0;
            for (int j = 0; j < WINDOW_READS; j++) {
                read((way == Way.SEND_FILE ? 200_000 : 100_000) + disturbed);
            }
        }
        assertThat(choice.next()).isEqualTo(Way.COPY);
    }
}
