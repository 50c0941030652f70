package io.vmft.blk.volume;

import io.vmft.blk.export.ClientIdentity;
import java.time.Duration;
import java.util.Set;

/**
 * To whom a volume is offered, and as what.
 *
 * @param description a line for people
 * @param allowed names of client certificates that may open it; empty: everybody may
 * @param exclusive whether one client at a time may use it: a newcomer ends all others
 * @param patience how long a newcomer waits for what those whose place it takes have under way; less than clients allow for a
 *     handshake
 */
public record Offer(String description, Set<String> allowed, boolean exclusive, Duration patience) {
    public static final Duration DEFAULT_PATIENCE = Duration.ofSeconds(5);

    public Offer {
        allowed = Set.copyOf(allowed);
    }

    boolean admits(ClientIdentity client) {
        String name = client.certificateName();
        return allowed.isEmpty() || (name != null && allowed.contains(name));
    }
}
