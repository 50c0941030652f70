package io.vmft.bench.nbd;

import java.util.ArrayList;
import java.util.List;

/**
 * What fio does.
 *
 * @param pattern fio's {@code --rw}
 * @param block bytes of a request, as fio takes them
 * @param depth requests under way at a time
 * @param sync whether every write is followed by an fsync
 */
record Workload(String name, String pattern, String block, int depth, boolean sync) {
    static final Workload RANDREAD_QD32 = new Workload("randread-4k-qd32", "randread", "4k", 32, false);
    static final Workload RANDWRITE_QD32 = new Workload("randwrite-4k-qd32", "randwrite", "4k", 32, false);
    static final Workload RANDREAD_QD1 = new Workload("randread-4k-qd1", "randread", "4k", 1, false);
    static final Workload WRITE_FSYNC = new Workload("write-fsync-4k-qd1", "randwrite", "4k", 1, true);

    static final List<Workload> ALL = List.of(
            RANDREAD_QD32,
            RANDWRITE_QD32,
            RANDREAD_QD1,
            new Workload("randwrite-4k-qd1", "randwrite", "4k", 1, false),
            new Workload("read-1m-qd8", "read", "1m", 8, false),
            new Workload("write-1m-qd8", "write", "1m", 8, false),
            WRITE_FSYNC);

    List<String> fio(String uri, int seconds, int imageMib) {
        List<String> command = new ArrayList<>(List.of(
                "fio",
                "--name=" + name,
                "--ioengine=nbd",
                "--uri=" + uri,
                "--rw=" + pattern,
                "--bs=" + block,
                "--iodepth=" + depth,
                "--size=" + imageMib + "m",
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

    boolean isSmallAndDeep() {
        return depth == 32;
    }

    boolean isLarge() {
        return block.endsWith("m");
    }
}
