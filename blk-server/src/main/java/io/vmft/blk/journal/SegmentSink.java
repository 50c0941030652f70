package io.vmft.blk.journal;

/** Who is told what is found in segments, in the order in which it is there. */
public interface SegmentSink {
    /** A valid record. */
    void record(RecordHeader header, JournalRecord record);

    /** Something is wrong. */
    void damage(JournalScan.Damage damage);
}
