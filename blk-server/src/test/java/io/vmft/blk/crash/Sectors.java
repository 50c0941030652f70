package io.vmft.blk.crash;

import io.vmft.blk.crash.Event.Change;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * Content that was found, sector by sector against what it was over time. A sector that was only ever written as a whole must be one of
 * its states; where parts of it were written, each byte must be of one: such a write does not bring the rest of the sector with it.
 */
final class Sectors {
    private static final int SECTOR_BYTES = CrashedFile.SECTOR_BYTES;

    private final byte[] found;
    private final byte[] content;
    private final boolean[] legal;
    private final boolean[] legalBytes;
    private final boolean[] inParts;
    private final List<List<String>> expected = new ArrayList<>();

    /** At first everything may be zeroes. */
    Sectors(byte[] found) {
        this.found = found;
        this.content = new byte[found.length];
        int count = (found.length + SECTOR_BYTES - 1) / SECTOR_BYTES;
        this.legal = new boolean[count];
        this.legalBytes = new boolean[found.length];
        this.inParts = new boolean[count];
        for (int at = 0; at < found.length; at++) {
            legalBytes[at] = found[at] == 0;
        }
        for (int sector = 0; sector < count; sector++) {
            legal[sector] = matches(sector);
            expected.add(new ArrayList<>(List.of("zeroes")));
        }
    }

    /**
     * Takes the next change into account.
     *
     * @param bytes it left
     * @param durable whether what was there before it may not be there any more
     */
    void take(Change change, byte[] bytes, boolean durable) {
        int start = change.offset();
        int end = start + bytes.length;
        System.arraycopy(bytes, 0, content, start, bytes.length);
        for (int at = start; at < end; at++) {
            legalBytes[at] = found[at] == content[at] || (legalBytes[at] && !durable);
        }
        String name = change.kind() + " " + change.id();
        for (int sector = start / SECTOR_BYTES; sector <= (end - 1) / SECTOR_BYTES; sector++) {
            boolean whole = start <= sector * SECTOR_BYTES && end >= endOf(sector);
            if (durable && whole) {
                expected.get(sector).clear();
                inParts[sector] = false;
            }
            expected.get(sector).add(name);
            inParts[sector] |= !whole;
            legal[sector] = matches(sector) || (legal[sector] && !durable);
        }
    }

    /** The first thing that is wrong: where, what is there, what may be. */
    Optional<String> complaint() {
        for (int sector = 0; sector < legal.length; sector++) {
            int wrong = wrongByte(sector);
            if (wrong >= 0) {
                return Optional.of("byte %d holds %s, which may be: %s"
                        .formatted(wrong, Event.wordAt(found, wrong), String.join(", ", expected.get(sector))));
            }
        }
        return Optional.empty();
    }

    /** −1: none. */
    private int wrongByte(int sector) {
        int start = sector * SECTOR_BYTES;
        if (!inParts[sector]) {
            int differs = Arrays.mismatch(found, start, endOf(sector), content, start, endOf(sector));
            return legal[sector] ? -1 : start + differs;
        }
        for (int at = start; at < endOf(sector); at++) {
            if (!legalBytes[at]) {
                return at;
            }
        }
        return -1;
    }

    private boolean matches(int sector) {
        int start = sector * SECTOR_BYTES;
        return Arrays.equals(found, start, endOf(sector), content, start, endOf(sector));
    }

    private int endOf(int sector) {
        return Math.min((sector + 1) * SECTOR_BYTES, found.length);
    }
}
