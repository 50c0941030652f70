package io.vmft.blk.crash;

import java.util.List;

/**
 * Who uses volumes, one request after the other.
 *
 * @param vm that holds the volumes now and then; empty: nobody ever does
 */
record Party(String vm, List<String> volumes) {
    static final int VOLUME_BYTES = 160 << 10;
    static final int GROWN_BYTES = 224 << 10;

    /** Everybody in a recording. */
    static final List<Party> ALL = List.of(
            new Party("vmA", List.of("a1", "a2")),
            new Party("vmB", List.of("b1")),
            new Party("", List.of("x1")),
            new Party("", List.of("x2")));

    /** The volume that is enlarged while no server runs. */
    static final String GROWN = "x2";

    String name() {
        return vm.isEmpty() ? volumes.getFirst() : vm;
    }
}
