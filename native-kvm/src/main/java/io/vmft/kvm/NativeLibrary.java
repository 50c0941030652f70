package io.vmft.kvm;

import java.nio.file.Files;
import java.nio.file.Path;

/** Finds {@code libvmft.so}. */
final class NativeLibrary {
    static final String DIRECTORY_PROPERTY = "vmft.native.dir";

    /** Of the control protocol and the staging file; {@code VMFT_ABI} in {@code vmft.h}. */
    static final int ABI_VERSION = 6;

    private NativeLibrary() {}

    /**
     * @throws IllegalStateException naming what to set or build
     */
    static Path locate() {
        String directory = System.getProperty(DIRECTORY_PROPERTY);
        if (directory == null || directory.isEmpty()) {
            throw new IllegalStateException("system property " + DIRECTORY_PROPERTY + " is not set; start Java with -D"
                    + DIRECTORY_PROPERTY + "=DIRECTORY, where libvmft.so is");
        }
        Path library = Path.of(directory, "libvmft.so").toAbsolutePath().normalize();
        if (!Files.isReadable(library)) {
            throw new IllegalStateException(
                    library + " is not there; build it (./vmft build) or correct " + DIRECTORY_PROPERTY);
        }
        if (library.toString().indexOf(' ') >= 0 || library.toString().indexOf(':') >= 0) {
            throw new IllegalStateException(
                    library + ": the loader takes no spaces or colons in LD_PRELOAD; move it to another directory");
        }
        return library;
    }
}
