package io.vmft.blk.server;

import io.vmft.blk.control.Recovery;
import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.VolumeRegistration;
import io.vmft.blk.volume.VolumeImage;
import io.vmft.config.Quantity;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;

/**
 * Enlarges volumes of a server that does not run. A volume that a VM has open is refused: both hosts' QEMUs have told their guest
 * its size, and a standby must find the one it was started with.
 */
final class VolumeGrowth {
    private VolumeGrowth() {}

    /**
     * Extends the image by a hole and remembers the new size. Killed in between, the next server or the next call finishes it.
     *
     * @return false: it had this size before
     * @throws IOException with one line for the operator; then the volume is as it was
     */
    static boolean grow(StoreFiles files, Path data, String name, long sizeBytes) throws IOException {
        try (DataDirectory directory = DataDirectory.openExisting(files, data);
                MetaStore meta = MetaStore.open(directory.index())) {
            Map<String, VolumeRegistration> volumes = meta.volumes();
            VolumeRegistration before = volumes.get(name);
            if (before == null) {
                throw new IOException("no volume " + name + " was ever served from " + data + ", but "
                        + String.join(", ", volumes.keySet()));
            }
            String vm = Recovery.neededVolumes(Recovery.load(meta)).get(name);
            if (vm != null) {
                throw new IOException(name + " is a disk of VM " + vm + ", which is open; end that VM first");
            }
            if (sizeBytes < before.sizeBytes()) {
                throw new IOException(
                        name + " has " + Quantity.sizeInWords(before.sizeBytes()) + "; a volume never shrinks");
            }
            boolean grown = VolumeImage.grow(files, name, Path.of(before.image()), sizeBytes);
            try (MetaStore.Batch batch = meta.batch()) {
                batch.putVolume(new VolumeRegistration(name, before.lane(), sizeBytes, before.image()))
                        .write(true);
            }
            return grown;
        }
    }
}
