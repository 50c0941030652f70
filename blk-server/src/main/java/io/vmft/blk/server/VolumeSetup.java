package io.vmft.blk.server;

import io.vmft.blk.changes.ChangeMap;
import io.vmft.blk.control.RecoveredVms;
import io.vmft.blk.control.Recovery;
import io.vmft.blk.journal.Journal;
import io.vmft.blk.journal.JournalScan;
import io.vmft.blk.journal.LaneMarks;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.VolumeRegistration;
import io.vmft.blk.snapshot.SnapshotSpace;
import io.vmft.blk.volume.Offer;
import io.vmft.blk.volume.Volume;
import io.vmft.blk.volume.VolumeImage;
import io.vmft.blk.volume.VolumeTable;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** Opens the images of a configuration and matches them with what is stored of their volumes. Used once. */
final class VolumeSetup implements AutoCloseable {
    private final BlkServerConfig config;
    private final MetaStore meta;
    private final Map<String, VolumeRegistration> stored;
    private final Map<String, VolumeRegistration> current = new TreeMap<>();
    private final Map<String, VolumeImage> images = new TreeMap<>();
    private final Map<String, ChangeMap> changes = new TreeMap<>();

    VolumeSetup(BlkServerConfig config, MetaStore meta) throws IOException {
        this.config = config;
        this.meta = meta;
        this.stored = meta.volumes();
    }

    /** Opens and registers every volume. */
    void open(RecoveredVms vms) throws IOException {
        Map<String, String> held = Recovery.neededVolumes(vms);
        for (Map.Entry<String, String> needed : held.entrySet()) {
            if (config.volumes().stream().noneMatch(spec -> spec.name().equals(needed.getKey()))) {
                throw new IOException("VM " + needed.getValue() + " is open and needs volume " + needed.getKey()
                        + "; add " + option(needed.getKey()));
            }
        }
        for (VolumeSpec spec : config.volumes()) {
            VolumeImage image =
                    VolumeImage.open(config.files(), spec.name(), spec.image(), spec.createBytes(), spec.readOnly());
            images.put(spec.name(), image);
            current.put(spec.name(), register(spec, image, held.get(spec.name())));
        }
    }

    private VolumeRegistration register(VolumeSpec spec, VolumeImage image, @Nullable String vm) throws IOException {
        VolumeRegistration before = stored.get(spec.name());
        String path = spec.image().toAbsolutePath().normalize().toString();
        if (before != null && image.sizeBytes() < before.sizeBytes()) {
            throw new IOException(spec.name() + ": image " + path + " has " + image.sizeBytes()
                    + " bytes, the volume was made with " + before.sizeBytes()
                    + "; restore the image, or serve it under another name");
        }
        if (before != null && vm != null && image.sizeBytes() > before.sizeBytes()) {
            throw new IOException(spec.name() + ": image " + path + " has " + image.sizeBytes() + " bytes, VM " + vm
                    + " has it open with " + before.sizeBytes() + "; cut it to that size again, or restore it");
        }
        int lane = before == null ? meta.newLane() : before.lane();
        VolumeRegistration now = new VolumeRegistration(spec.name(), lane, image.sizeBytes(), path);
        if (!now.equals(before)) {
            try (MetaStore.Batch batch = meta.batch()) {
                batch.putVolume(now).write(true);
            }
        }
        return now;
    }

    /** Watermarks of all volumes' lanes, of those not served now too. */
    Map<Integer, LaneMarks> marks() throws IOException {
        Map<String, VolumeRegistration> all = new HashMap<>(stored);
        all.putAll(current);
        Map<Integer, LaneMarks> marks = new HashMap<>();
        for (VolumeRegistration registration : all.values()) {
            marks.put(registration.lane(), meta.lane(registration.lane()));
        }
        return marks;
    }

    /** Makes the volumes, unless the journal holds data for one that cannot take it. */
    VolumeTable volumes(Journal.Opened opened, Map<Integer, LaneMarks> marks, DataDirectory data) throws IOException {
        for (VolumeRegistration registration : stored.values()) {
            VolumeImage image = images.get(registration.name());
            boolean canTake = image != null && !image.readOnly();
            if (!canTake && holdsDataFor(opened.scan(), registration.lane(), marks)) {
                throw new IOException("the journal holds data for volume " + registration.name()
                        + "; serve it read-write with " + option(registration.name()) + " until that is in the image");
            }
        }
        SnapshotSpace space = SnapshotSpace.open(data.snapshots(), config.files(), config.snapshotLimitBytes());
        for (VolumeRegistration registration : current.values()) {
            changes.put(registration.name(), openChanges(registration, data));
        }
        List<Volume> volumes = new ArrayList<>();
        for (VolumeRegistration registration : current.values()) {
            VolumeImage image = images.remove(registration.name());
            ChangeMap map = changes.remove(registration.name());
            if (image == null || map == null) {
                throw new IllegalStateException(registration + " has no image");
            }
            volumes.add(new Volume(
                    registration.name(),
                    registration.lane(),
                    image,
                    offer(registration.name()),
                    opened.journal(),
                    meta,
                    marks.getOrDefault(registration.lane(), LaneMarks.NONE),
                    space,
                    map));
        }
        return new VolumeTable(volumes);
    }

    private Offer offer(String name) {
        for (VolumeSpec spec : config.volumes()) {
            if (spec.name().equals(name)) {
                return new Offer(
                        spec.description().isEmpty() ? "vmft volume " + name : spec.description(),
                        spec.allow(),
                        spec.exclusive(),
                        config.admissionPatience());
            }
        }
        throw new IllegalStateException(name + " is not in the configuration");
    }

    private ChangeMap openChanges(VolumeRegistration registration, DataDirectory data) throws IOException {
        return ChangeMap.open(
                data.changes(),
                config.files(),
                meta,
                registration.name(),
                registration.lane(),
                Path.of(registration.image()),
                registration.sizeBytes(),
                config.bootId());
    }

    private static boolean holdsDataFor(JournalScan scan, int lane, Map<Integer, LaneMarks> marks) {
        LaneMarks mark = marks.getOrDefault(lane, LaneMarks.NONE);
        return scan.records().stream()
                .map(JournalScan.Found::header)
                .anyMatch(header -> header.lane() == lane
                        && header.sequence() > mark.applied()
                        && !mark.isDropped(header.sequence()));
    }

    private String option(String volume) {
        VolumeRegistration registration = stored.get(volume);
        return "--volume " + volume + "=" + (registration == null ? "IMAGE" : registration.image());
    }

    /** Closes images and maps that were opened and did not become volumes. */
    @Override
    public void close() throws IOException {
        for (ChangeMap map : changes.values()) {
            map.close();
        }
        for (VolumeImage image : images.values()) {
            image.close();
        }
    }
}
