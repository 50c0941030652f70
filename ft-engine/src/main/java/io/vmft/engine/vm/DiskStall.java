package io.vmft.engine.vm;

import com.fasterxml.jackson.databind.JsonNode;
import io.netty.channel.EventLoop;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A guest that QEMU stopped because its disk took no more. QEMU keeps the requests that failed and repeats them when the guest goes on,
 * so it is let go on once a second until no request fails any more. They are part of the saved state: after a takeover the other QEMU
 * repeats them, fails with them and is let go on in the same way. On the engine's loop only.
 */
final class DiskStall {
    private static final Logger log = LoggerFactory.getLogger(DiskStall.class);
    private static final long RETRY_MILLIS = 1000;

    private final String vm;
    private final EventLoop loop;
    private final Runnable cont;
    private @Nullable String trouble;
    private boolean failedSince;
    private boolean held;
    private boolean over;

    /**
     * Makes one for a guest that runs.
     *
     * @param cont lets the guest go on
     */
    DiskStall(String vm, EventLoop loop, Runnable cont) {
        this.vm = vm;
        this.loop = loop;
        this.cont = cont;
    }

    /** Why the guest stands still; null: not because of a disk. */
    @Nullable
    String trouble() {
        return trouble;
    }

    /** Takes the data of QEMU's event BLOCK_IO_ERROR. */
    void failed(JsonNode error) {
        String what = error.path("node-name").asText() + ": "
                + error.path("operation").asText() + ": " + error.path("reason").asText();
        if (!error.path("action").asText().equals("stop")) {
            log.debug("{}: the guest was told of a disk error: {}", vm, what);
            return;
        }
        failedSince = true;
        if (trouble == null) {
            trouble = what;
            log.warn("{}: the guest stands still until its disk takes this again: {}", vm, what);
            later();
        }
    }

    /** Whether an operator has stopped the guest: then it is not let go on. */
    void hold(boolean stopped) {
        held = stopped;
    }

    /** QEMU is gone. */
    void end() {
        over = true;
    }

    private void later() {
        loop.schedule(this::look, RETRY_MILLIS, TimeUnit.MILLISECONDS);
    }

    private void look() {
        if (over) {
            return;
        }
        if (!failedSince) {
            trouble = null;
            log.info("{}: the guest's disk takes everything again, the guest goes on", vm);
            return;
        }
        if (!held) {
            failedSince = false;
            cont.run();
        }
        later();
    }
}
