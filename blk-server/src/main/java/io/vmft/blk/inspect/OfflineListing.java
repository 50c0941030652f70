package io.vmft.blk.inspect;

import io.vmft.blk.journal.MetaView;
import io.vmft.blk.journal.SegmentEntry;
import io.vmft.blk.journal.SegmentView;
import io.vmft.proto.blk.v1.JournalReply;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** What the journal of a server that does not run holds. */
public final class OfflineListing {
    private OfflineListing() {}

    /** Epochs by volume, then segments; of what can be read, and the other segments as far as they are known. */
    public static List<JournalReply> run(OfflineData data) throws IOException {
        try (MetaView view = MetaView.openReadOnly(data.index(), true)) {
            StoredState stored = StoredState.read(view);
            Map<Boolean, List<SegmentEntry>> entries = stored.segments().stream()
                    .collect(Collectors.partitioningBy(entry -> Files.isReadable(entry.path(data.journal()))));
            List<SegmentView> segments = data.open(entries.getOrDefault(true, List.of()));
            long active = stored.segments().stream()
                    .filter(entry -> !entry.closed())
                    .mapToLong(SegmentEntry::id)
                    .findFirst()
                    .orElse(0);
            try {
                List<JournalReply> all = JournalListing.of(stored, segments, active, _ -> {});
                for (SegmentEntry entry : entries.getOrDefault(false, List.of())) {
                    all.add(JournalReply.newBuilder()
                            .setSegment(JournalListing.of(entry, entry.path(data.journal()))
                                    .setActive(entry.id() == active)
                                    .setUnreadable(true))
                            .build());
                }
                return all;
            } finally {
                OfflineData.closeAll(segments);
            }
        }
    }
}
