package io.vmft.blk.nbd;

import io.vmft.blk.export.BlockStatus;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * A volume of any size without data, whose stripes are holes and data by turns; in a second context all of it is one extent. Remembers the
 * changes it was asked for.
 */
class StripedView extends MemoryView {
    static final String WHOLE = "x-test:whole";

    private final long sizeBytes;
    private final long stripeBytes;
    final List<String> calls = new ArrayList<>();

    StripedView(long sizeBytes, long stripeBytes) {
        super(0);
        this.sizeBytes = sizeBytes;
        this.stripeBytes = stripeBytes;
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public List<String> contexts(String query, boolean list) {
        return List.of(BlockStatus.ALLOCATION, WHOLE).stream()
                .filter(name -> name.equals(query)
                        || (list && (query.isEmpty() || (query.endsWith(":") && name.startsWith(query)))))
                .toList();
    }

    @Override
    public List<BlockStatus> blockStatus(String context, long offset, long lengthBytes, int limit) throws IOException {
        if (Thread.currentThread().getName().startsWith("nbd-loop")) {
            throw new AssertionError("storage was asked on an event loop");
        }
        if (context.equals(WHOLE)) {
            return List.of(new BlockStatus(sizeBytes - offset, -1));
        }
        List<BlockStatus> extents = new ArrayList<>();
        for (long at = offset; at < offset + lengthBytes && extents.size() < limit; ) {
            long stripe = at / stripeBytes;
            long end = Math.min(sizeBytes, (stripe + 1) * stripeBytes);
            extents.add(new BlockStatus(end - at, stripe % 2 == 0 ? BlockStatus.HOLE | BlockStatus.ZERO : 0));
            at = end;
        }
        return extents;
    }

    @Override
    public void writeZeroes(long offset, long lengthBytes, boolean punchHole, boolean fua) {
        record("zeroes", offset, lengthBytes);
    }

    @Override
    public void trim(long offset, long lengthBytes, boolean fua) {
        record("trim", offset, lengthBytes);
    }

    @Override
    public void cache(long offset, long lengthBytes) throws IOException {
        record("cache", offset, lengthBytes);
    }

    private void record(String call, long offset, long lengthBytes) {
        synchronized (calls) {
            calls.add(call + " " + offset + " " + lengthBytes);
        }
    }
}
