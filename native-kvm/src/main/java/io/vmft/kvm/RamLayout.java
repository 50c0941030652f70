package io.vmft.kvm;

import java.util.List;

/**
 * All memory the guest can see: its RAM file, and what QEMU made beside it (video memory, firmware, flash, option ROMs) in the order
 * in which it made it. Pages are numbered through them all. Two QEMUs of one version with one command line have the same layout.
 *
 * @param ramPages pages of the RAM file
 * @param blockPages pages of each block beside it; they lie in the blocks file one after the other
 */
public record RamLayout(long ramPages, List<Long> blockPages) {
    public RamLayout {
        blockPages = List.copyOf(blockPages);
    }

    /** Of the RAM file and all blocks. */
    public long pages() {
        return ramPages + blockPages.stream().mapToLong(Long::longValue).sum();
    }
}
