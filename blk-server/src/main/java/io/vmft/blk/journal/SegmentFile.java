package io.vmft.blk.journal;

import io.vmft.blk.file.StoreFile;

/** A file that segments are in, one after the other. */
record SegmentFile(int slot, StoreFile file, long sizeBytes) {}
