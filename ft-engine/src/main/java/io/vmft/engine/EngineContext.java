package io.vmft.engine;

import io.netty.channel.EventLoop;
import io.vmft.engine.blk.BlkControl;
import io.vmft.engine.config.Fingerprint;
import io.vmft.engine.config.VmConfig;
import io.vmft.engine.qemu.QemuInfo;
import io.vmft.engine.replication.LinkConfig;
import io.vmft.engine.thread.PauseThreads;
import io.vmft.engine.vm.VmPaths;
import java.util.concurrent.RejectedExecutionException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What every role of one engine shares.
 *
 * @param host this host's name, as the arbiter and the other host see it
 * @param loop the one thread on which roles run
 * @param fingerprint what both hosts must agree on, as settled here
 */
public record EngineContext(
        VmConfig config,
        QemuInfo qemu,
        Fingerprint fingerprint,
        String host,
        VmPaths paths,
        EventLoop loop,
        BlkControl control) {
    private static final Logger log = LoggerFactory.getLogger(EngineContext.class);

    /** The VM's name. */
    public String vm() {
        return config.name();
    }

    public PauseThreads pauseThreads() {
        return PauseThreads.of(config.protection());
    }

    /** Runs a task on the loop, from any thread; not at all when the engine has ended, and with it what the task is about. */
    public void handOver(Runnable task) {
        try {
            loop.execute(task);
        } catch (RejectedExecutionException e) {
            log.debug("{}: the engine has ended", vm(), e);
        }
    }

    public LinkConfig linkConfig() {
        return new LinkConfig(
                config.protection().heartbeat(), config.protection().failureTimeout());
    }
}
