package io.vmft.blk.export;

import java.util.List;

/** The volumes a block server offers, by NBD export name. Thread-safe. */
public interface Exports {
    /** Names this client may see in {@code NBD_OPT_LIST}. */
    List<String> names(ClientIdentity client);

    /**
     * Opens a view for one connection. It may take the place of others, which are then ended: when this returns, nothing of theirs
     * changes the volume any more. Blocks until that holds, for a bounded time.
     *
     * @param exportName as the client sent it
     * @param client who asks; a volume may admit only some
     * @param owner the connection. Requests on a revoked view fail with {@link FencedException} or {@link DisplacedException} whether
     *     or not its owner has been told yet.
     * @throws ExportRefusedException if there is no such export, its generation is not admitted, a newer connection has its place, or
     *     the one whose place it would take is not done in time
     */
    ExportView open(String exportName, ClientIdentity client, ViewOwner owner) throws ExportRefusedException;

    /**
     * A view to describe an export with: it takes nobody's place, and reads and changes nothing.
     *
     * @throws ExportRefusedException if there is no such export or its generation is not admitted
     */
    ExportView look(String exportName, ClientIdentity client) throws ExportRefusedException;
}
