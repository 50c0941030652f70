package io.vmft.blk.volume;

import io.vmft.blk.export.ClientIdentity;
import java.util.Set;

/**
 * To whom a volume is offered, and as what.
 *
 * @param description a line for people
 * @param allowed names of client certificates that may open it; empty: everybody may
 */
public record Offer(String description, Set<String> allowed) {
    public Offer {
        allowed = Set.copyOf(allowed);
    }

    boolean admits(ClientIdentity client) {
        String name = client.certificateName();
        return allowed.isEmpty() || (name != null && allowed.contains(name));
    }
}
