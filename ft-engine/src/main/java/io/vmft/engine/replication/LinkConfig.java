package io.vmft.engine.replication;

import java.time.Duration;

/**
 * When a link counts as dead.
 *
 * @param heartbeat how often something is sent at the least
 * @param failureTimeout how long nothing may come before the other side is suspected
 */
public record LinkConfig(Duration heartbeat, Duration failureTimeout) {
    public LinkConfig {
        if (heartbeat.isNegative() || heartbeat.isZero() || failureTimeout.compareTo(heartbeat.multipliedBy(2)) < 0) {
            throw new IllegalArgumentException("failure_timeout (" + failureTimeout.toMillis()
                    + " ms) must be at least twice the heartbeat (" + heartbeat.toMillis() + " ms)");
        }
    }
}
