package io.vmft.nbd.client.session;

import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.NbdExport;
import io.vmft.nbd.client.NbdRefusedException;
import io.vmft.nbd.client.NbdUri;
import io.vmft.nbd.client.Waiting;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/**
 * Under which name a server serves a volume now. A volume that a virtual machine holds is listed as {@code VOLUME@GENERATION}, once for
 * the primary and, while it is protected, once with a higher number for the backup: so the lowest is the primary's.
 */
public final class Discovery {
    private Discovery() {}

    /**
     * The export to open at a server. Fails as {@link NbdClient#listAsync} does, but not where a server does not list its exports:
     * there the name is taken as it is. Fails with {@link FencedException} if the URI names a generation that is over.
     *
     * @param uri of one server; with a generation only that one will do
     */
    public static CompletableFuture<NbdUri> find(NbdUri uri) {
        return NbdClient.listAsync(uri).handle((names, failure) -> {
            if (failure == null) {
                try {
                    return uri.withExport(choose(uri.exportName(), names));
                } catch (FencedException e) {
                    throw new CompletionException(e);
                }
            }
            if (Waiting.cause(failure) instanceof NbdRefusedException) {
                return uri;
            }
            throw new CompletionException(Waiting.cause(failure));
        });
    }

    static String choose(String wanted, List<String> names) throws FencedException {
        String volume = NbdExport.volume(wanted);
        List<Long> generations = names.stream()
                .filter(name -> NbdExport.volume(name).equals(volume))
                .map(NbdExport::generation)
                .filter(generation -> generation > 0)
                .sorted()
                .toList();
        long asked = NbdExport.generation(wanted);
        if (asked > 0 && !generations.contains(asked)) {
            long newest = generations.isEmpty() ? 0 : generations.getLast();
            if (newest > asked) {
                throw new FencedException(volume, asked, generations.getFirst());
            }
            return wanted;
        }
        if (asked > 0 || generations.isEmpty() || names.contains(volume)) {
            return wanted;
        }
        return volume + "@" + generations.getFirst();
    }
}
