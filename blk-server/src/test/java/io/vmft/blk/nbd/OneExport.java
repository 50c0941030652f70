package io.vmft.blk.nbd;

import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.Exports;
import io.vmft.blk.export.ViewOwner;
import java.util.List;

/** One view under the name "disk", and how its connection is revoked. */
final class OneExport implements Exports {
    private final ExportView view;
    private volatile ViewOwner revocation = _ -> {};

    OneExport(ExportView view) {
        this.view = view;
    }

    void revoke() {
        revocation.revoked("fenced");
    }

    @Override
    public List<String> names(ClientIdentity client) {
        return List.of("disk");
    }

    @Override
    public ExportView open(String exportName, ClientIdentity client, ViewOwner owner) throws ExportRefusedException {
        return switch (exportName) {
            case "disk" -> {
                revocation = owner;
                yield view;
            }
            case "held" -> throw new ExportRefusedException(ExportRefusedException.Reason.POLICY, "held by vm1@7");
            case "closing" -> throw new ExportRefusedException(ExportRefusedException.Reason.SHUTDOWN, "closing");
            case "broken" -> throw new IllegalStateException("a defect of storage, on purpose");
            default -> throw new ExportRefusedException(ExportRefusedException.Reason.UNKNOWN, "no such volume");
        };
    }

    @Override
    public ExportView look(String exportName, ClientIdentity client) throws ExportRefusedException {
        ViewOwner before = revocation;
        ExportView looked = open(exportName, client, _ -> {});
        revocation = before;
        return looked;
    }
}
