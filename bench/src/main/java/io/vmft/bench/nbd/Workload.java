package io.vmft.bench.nbd;

import java.util.ArrayList;
import java.util.List;

/**
 * What fio does.
 *
 * @param pattern fio's {@code --rw}
 * @param vsNbdkit what blk-server has to reach, as a multiple of nbdkit's throughput
 * @param vsQemuNbd the same for qemu-nbd; 0: no target
 */
record Workload(String name, String pattern, String block, int depth, boolean sync, double vsNbdkit, double vsQemuNbd) {
    static final List<Workload> ALL = List.of(
            new Workload("randread-4k-qd32", "randread", "4k", 32, false, 1.0, 1.5),
            new Workload("randwrite-4k-qd32", "randwrite", "4k", 32, false, 1.0, 1.5),
            new Workload("read-1m-qd8", "read", "1m", 8, false, 1.0, 0),
            new Workload("write-1m-qd8", "write", "1m", 8, false, 1.0, 0),
            new Workload("write-fsync-4k-qd1", "randwrite", "4k", 1, true, 1.0, 0));

    List<String> fio(String uri, int seconds, String size) {
        List<String> command = new ArrayList<>(List.of(
                "fio",
                "--name=" + name,
                "--ioengine=nbd",
                "--uri=" + uri,
                "--rw=" + pattern,
                "--bs=" + block,
                "--iodepth=" + depth,
                "--size=" + size,
                "--time_based",
                "--runtime=" + seconds,
                "--randrepeat=0",
                "--output-format=json"));
        if (sync) {
            command.add("--fsync=1");
        }
        return command;
    }

    boolean writes() {
        return pattern.endsWith("write");
    }

    /** Whether the tail of its latency is compared, too. */
    boolean comparesLatency() {
        return depth == 32;
    }
}
