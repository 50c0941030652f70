package io.vmft.blk.nbd;

import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.Exports;
import java.util.List;

/** One view under the name "disk", and how its connection is revoked. */
final class OneExport implements Exports {
    private final ExportView view;
    private volatile Runnable revocation = () -> {};

    OneExport(ExportView view) {
        this.view = view;
    }

    void revoke() {
        revocation.run();
    }

    @Override
    public List<String> names(ClientIdentity client) {
        return List.of("disk");
    }

    @Override
    public ExportView open(String exportName, ClientIdentity client, Runnable onRevoked) throws ExportRefusedException {
        return switch (exportName) {
            case "disk" -> {
                revocation = onRevoked;
                yield view;
            }
            case "held" -> throw new ExportRefusedException(ExportRefusedException.Reason.POLICY, "held by vm1@7");
            case "closing" -> throw new ExportRefusedException(ExportRefusedException.Reason.SHUTDOWN, "closing");
            case "broken" -> throw new IllegalStateException("a defect of storage, on purpose");
            default -> throw new ExportRefusedException(ExportRefusedException.Reason.UNKNOWN, "no such volume");
        };
    }
}
