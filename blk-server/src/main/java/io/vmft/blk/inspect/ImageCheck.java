package io.vmft.blk.inspect;

import io.vmft.blk.control.RecoveryPlan.VolumePlan;
import io.vmft.blk.file.StoreFile;
import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.journal.VolumeRegistration;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.jspecify.annotations.Nullable;

/** Whether a volume's image is there, as large as it was, and nobody's. For a server that does not run. */
final class ImageCheck {
    private final StoreFiles files;
    private final Findings findings;

    ImageCheck(StoreFiles files, Findings findings) {
        this.files = files;
        this.findings = findings;
    }

    /**
     * Checks one.
     *
     * @param image where it is expected now
     * @param plan of its volume
     * @param vm the VM that holds it; null: none
     */
    void run(VolumeRegistration volume, Path image, VolumePlan plan, @Nullable String vm) {
        String where = image + ": the image of volume " + volume.name();
        boolean needed = vm != null || plan.kept().records() > 0;
        if (!Files.exists(image)) {
            if (needed) {
                findings.inconsistent(where + " is missing; restore it"
                        + (plan.kept().records() > 0
                                ? ", the journal holds " + plan.kept().records() + " records that are not in it"
                                : ", it is a disk of VM " + vm));
            } else {
                findings.note(where + " is missing; nothing needs it, if you removed it all is well");
            }
        } else if (Files.isDirectory(image)) {
            findings.inconsistent(where + " is a directory; restore it");
        } else if (!Files.isReadable(image)) {
            findings.unknown(where + " cannot be read; ask as its owner");
        } else {
            checkFile(volume, image, where, vm);
        }
    }

    private void checkFile(VolumeRegistration volume, Path image, String where, @Nullable String vm) {
        try (FileChannel channel = FileChannel.open(image, StandardOpenOption.READ)) {
            if (isLocked(channel)) {
                findings.unknown(where + " is in use by another server; stop that one and ask again");
                return;
            }
            long size;
            try (StoreFile file = files.open(image, StoreFiles.Access.READ_ONLY)) {
                size = file.sizeBytes();
            }
            if (size < volume.sizeBytes()) {
                findings.inconsistent(where + " has " + size + " bytes, the volume has " + volume.sizeBytes()
                        + "; restore it, or serve it under another name");
            } else if (size > volume.sizeBytes() && vm != null) {
                findings.inconsistent(where + " has " + size + " bytes, VM " + vm + " has it open with "
                        + volume.sizeBytes() + "; cut it to that size again, or restore it");
            } else if (size > volume.sizeBytes()) {
                findings.note(where + " has " + size + " bytes, the volume has had " + volume.sizeBytes()
                        + "; the next server serves all of it");
            }
        } catch (IOException e) {
            findings.unknown(where + " cannot be looked at (" + e.getMessage() + "); look at the disk");
        }
    }

    private static boolean isLocked(FileChannel channel) throws IOException {
        try (FileLock lock = channel.tryLock(0, Long.MAX_VALUE, true)) {
            return lock == null;
        } catch (OverlappingFileLockException e) {
            return true;
        }
    }
}
