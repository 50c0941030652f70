package io.vmft.bench.nbd;

import org.jspecify.annotations.Nullable;

/**
 * What is measured beside others: an export of a server.
 *
 * @param label the server's name, or {@link #PROTECTED}, {@link #UNPROTECTED} for two volumes of one blk-server
 * @param epochs runs while it is measured; null: nothing does
 */
record Contender(
        String label,
        ServerProcess server,
        String uri,
        @Nullable EpochDriver epochs) {
    static final String PROTECTED = "protected";
    static final String UNPROTECTED = "unprotected";

    Contender(ServerProcess server) {
        this(server.kind().toString(), server, server.uri(ServerKind.EXPORT), null);
    }
}
