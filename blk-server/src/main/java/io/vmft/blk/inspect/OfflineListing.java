package io.vmft.blk.inspect;

import io.vmft.blk.journal.MetaView;
import io.vmft.blk.journal.SegmentEntry;
import io.vmft.blk.journal.SegmentView;
import io.vmft.proto.blk.v1.JournalReply;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;

/** What the journal of a server that does not run holds. */
public final class OfflineListing {
    private OfflineListing() {}

    /** Epochs by volume, then segments; of what can be read. */
    public static List<JournalReply> run(OfflineData data) throws IOException {
        try (MetaView view = MetaView.openReadOnly(data.index(), true)) {
            StoredState stored = StoredState.read(view);
            List<SegmentView> segments = data.open(stored.segments().stream()
                    .filter(entry -> Files.isReadable(entry.path(data.journal())))
                    .toList());
            long active = stored.segments().stream()
                    .filter(entry -> !entry.closed())
                    .mapToLong(SegmentEntry::id)
                    .findFirst()
                    .orElse(0);
            try {
                return JournalListing.of(stored, segments, active, _ -> {});
            } finally {
                OfflineData.closeAll(segments);
            }
        }
    }
}
