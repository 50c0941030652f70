package io.vmft.blk.export;

import org.jspecify.annotations.Nullable;

/**
 * Who asks for an export.
 *
 * @param certificateName the name in the client's verified certificate (its subject's common name); null: it showed none
 */
public record ClientIdentity(@Nullable String certificateName) {
    public static final ClientIdentity UNKNOWN = new ClientIdentity(null);
}
