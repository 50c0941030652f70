package io.vmft.blk.export;

import java.util.List;

/** The volumes a block server offers, by NBD export name ({@code NAME} or {@code NAME@GENERATION}). Thread-safe. */
public interface Exports {
    /** Names this client may see in {@code NBD_OPT_LIST}. */
    List<String> names(ClientIdentity client);

    /**
     * Opens a view for one connection.
     *
     * @param exportName as the client sent it
     * @param client who asks; a volume may admit only some
     * @param onRevoked run at most once, on any thread, when the view stops being served (its generation was fenced, the
     *     server closes); the owner must then cut the connection. Requests on a revoked view fail with
     *     {@link FencedException} whether or not it has run yet.
     * @throws ExportRefusedException if there is no such export or its generation is not admitted
     */
    ExportView open(String exportName, ClientIdentity client, Runnable onRevoked) throws ExportRefusedException;
}
