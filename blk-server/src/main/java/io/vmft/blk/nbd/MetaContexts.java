package io.vmft.blk.nbd;

import io.vmft.blk.export.ExportView;
import io.vmft.proto.nbd.Nbd;
import io.vmft.proto.nbd.NbdOptionReply;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * The metadata contexts a client has chosen, and for which export; the specification's section "Metadata querying". A context's number on
 * the wire is its place in the list, from 1. Immutable.
 */
record MetaContexts(String exportName, List<String> names) {
    static final MetaContexts NONE = new MetaContexts("", List.of());

    /** Each costs a walk through storage and a chunk in every block status reply. */
    private static final int MAX_CHOSEN = 16;

    MetaContexts {
        names = List.copyOf(names);
    }

    /** The number of a context on the wire. */
    static int id(int index) {
        return index + 1;
    }

    /** Those that hold for the export that was chosen in the end: none if they were chosen for another. */
    List<String> of(String chosenExport) {
        return chosenExport.equals(exportName) ? names : List.of();
    }

    /** The contexts of {@code view} that a client's queries choose; those that fit nothing choose nothing, as is demanded. */
    static MetaContexts choose(String exportName, ExportView view, List<String> queries) {
        return new MetaContexts(exportName, find(view, queries, false));
    }

    boolean tooMany() {
        return names.size() > MAX_CHOSEN;
    }

    /** The whole answer to a client that has chosen. */
    List<NbdOptionReply> chosen() {
        List<NbdOptionReply> replies = new ArrayList<>();
        for (int i = 0; i < names.size(); i++) {
            replies.add(new NbdOptionReply.MetaContext(Nbd.OPT_SET_META_CONTEXT, id(i), names.get(i)));
        }
        replies.add(new NbdOptionReply.Ack(Nbd.OPT_SET_META_CONTEXT));
        return replies;
    }

    /** The whole answer to a client that wants to see what there is. */
    static List<NbdOptionReply> list(ExportView view, List<String> queries) {
        List<NbdOptionReply> replies = new ArrayList<>();
        List<String> found = queries.isEmpty() ? view.contexts("", true) : find(view, queries, true);
        found.forEach(name -> replies.add(new NbdOptionReply.MetaContext(Nbd.OPT_LIST_META_CONTEXT, 0, name)));
        replies.add(new NbdOptionReply.Ack(Nbd.OPT_LIST_META_CONTEXT));
        return replies;
    }

    private static List<String> find(ExportView view, List<String> queries, boolean list) {
        Set<String> found = new LinkedHashSet<>();
        queries.stream()
                .filter(query -> query.indexOf(':') > 0)
                .forEach(query -> found.addAll(view.contexts(query, list)));
        return List.copyOf(found);
    }
}
