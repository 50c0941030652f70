package io.vmft.blk.journal;

import java.lang.foreign.MemorySegment;

/**
 * A write to be appended.
 *
 * @param offset of its first byte in the volume
 * @param data native memory, not kept
 * @param crc CRC32C of the data
 */
public record JournalWrite(long offset, MemorySegment data, int crc) {
    /** What it will count for in the budget. */
    public long budgetBytes() {
        return JournalRecord.budgetBytes(data.byteSize());
    }
}
