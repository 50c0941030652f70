package io.vmft.blk.journal;

/** Sequence numbers above {@code after} up to and including {@code last}. */
public record SequenceRange(long after, long last) {
    public SequenceRange {
        if (after < 0 || last <= after) {
            throw new IllegalArgumentException("range " + after + ".." + last);
        }
    }

    public boolean contains(long sequence) {
        return sequence > after && sequence <= last;
    }
}
