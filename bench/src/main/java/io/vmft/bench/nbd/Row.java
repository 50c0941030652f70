package io.vmft.bench.nbd;

import java.util.List;

/**
 * A workload and who meets it, one after the other in each round.
 *
 * @param name where and what, as {@code unix/randread-4k-qd32}
 */
record Row(String name, Workload workload, List<Contender> contenders) {}
