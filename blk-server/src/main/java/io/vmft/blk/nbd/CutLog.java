package io.vmft.blk.nbd;

import io.netty.channel.Channel;
import java.net.SocketAddress;
import java.time.Duration;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Says why connections were cut: one line each, but under attack only {@value #LINES_PER_SECOND} lines a second and how many
 * were left out. Thread-safe.
 */
final class CutLog {
    private static final Logger LOG = LoggerFactory.getLogger(CutLog.class);
    private static final int LINES_PER_SECOND = 10;

    private long secondStartedNanos = System.nanoTime();
    private int lines;
    private long leftOut;

    void cut(Channel channel, String why) {
        long leftOutBefore = admit(System.nanoTime());
        if (leftOutBefore > 0) {
            LOG.warn("{} more NBD connections were cut", leftOutBefore);
        }
        if (leftOutBefore >= 0) {
            LOG.warn("NBD client {} cut: {}", nameOf(channel), why);
        }
    }

    /** How many lines were left out before this one, or -1 if this one is to be left out too. */
    private synchronized long admit(long nowNanos) {
        if (nowNanos - secondStartedNanos >= Duration.ofSeconds(1).toNanos()) {
            secondStartedNanos = nowNanos;
            lines = 0;
        }
        if (lines == LINES_PER_SECOND) {
            leftOut++;
            return -1;
        }
        lines++;
        long before = leftOut;
        leftOut = 0;
        return before;
    }

    static String nameOf(Channel channel) {
        SocketAddress address = channel.remoteAddress();
        String name = address == null ? "" : address.toString();
        return name.isEmpty() || name.equals("null") ? "on " + channel.localAddress() : name;
    }
}
