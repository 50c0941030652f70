package io.vmft.engine;

import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.epoch.EpochTimes;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** What an engine is to its VM now. All calls on the engine's loop. */
public interface Role {
    /** How things stand, for an operator or a script. */
    EngineStatus status();

    /** The last epochs one by one, those after {@code epoch}, oldest first; empty unless this host runs the VM. */
    List<EpochTimes> epochsAfter(long epoch);

    /**
     * Protects the VM on a standby.
     *
     * @param standby absent: the configured ones, in order
     * @return completes when the VM is protected, with a line saying where; fails with an {@link EngineException}
     */
    CompletableFuture<String> protect(Optional<HostPort> standby);

    /**
     * Stops the guest where its backup can stand too: at a checkpoint that is committed. Without a backup it just stops.
     *
     * @return completes with the epoch at which it stands, 0 without a backup
     */
    CompletableFuture<Long> pause();

    /** Lets a paused guest go on. */
    CompletableFuture<Void> resume();

    /** Ends the VM, or the wait for one, in order; completes when nothing of it is left running. */
    CompletableFuture<Void> stop(String reason);
}
