package io.vmft.bench.durability;

import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import io.vmft.bench.Result.Direction;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** VMs that commit as fast as they can, each after one small write: how many syncs of payload and of the index a commit costs. */
final class GroupCommit {
    private static final int BLOCK_BYTES = 4096;

    private GroupCommit() {}

    static List<Result> run(Path folder, BenchSettings settings, PrintWriter progress)
            throws IOException, InterruptedException {
        List<Result> results = new ArrayList<>();
        for (int vms : new int[] {1, 4, 16}) {
            List<Double> payload = new ArrayList<>();
            List<Double> index = new ArrayList<>();
            List<Double> rate = new ArrayList<>();
            for (int round = 0; round < settings.rounds(); round++) {
                progress.printf("group-commit: %d VMs, round %d of %d%n", vms, round + 1, settings.rounds());
                progress.flush();
                CountingFiles files = new CountingFiles();
                try (Arena arena = Arena.ofShared();
                        BareJournal journal = new BareJournal(folder.resolve(vms + "-" + round), files)) {
                    MemorySegment block = arena.allocate(BLOCK_BYTES, 4096);
                    long payloadBefore = files.syncs();
                    long indexBefore = journal.indexSyncs();
                    long commits = commit(journal, vms, block, settings.seconds());
                    payload.add((files.syncs() - payloadBefore) / (double) commits);
                    index.add((journal.indexSyncs() - indexBefore) / (double) commits);
                    rate.add(commits / (double) settings.seconds());
                }
            }
            String name = "group-commit/" + vms + "-vms";
            results.add(Result.of(name + "/commits", "per s", rate));
            Result syncs = Result.of(name + "/payload-syncs÷commits", "ratio", payload);
            results.add(vms == 1 ? syncs : syncs.withTarget(Direction.LOWER_IS_BETTER, 1));
            results.add(Result.of(name + "/index-syncs÷commits", "ratio", index));
        }
        return results;
    }

    private static long commit(BareJournal journal, int vms, MemorySegment block, int seconds)
            throws IOException, InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        try (ExecutorService pool = Executors.newFixedThreadPool(vms)) {
            List<Callable<Long>> work = new ArrayList<>();
            for (int vm = 1; vm <= vms; vm++) {
                DurableLog lane = journal.lane(vm, block);
                work.add(() -> {
                    long commits = 0;
                    while (System.nanoTime() < end) {
                        lane.append();
                        lane.commit();
                        commits++;
                    }
                    return commits;
                });
            }
            long total = 0;
            for (Future<Long> each : pool.invokeAll(work)) {
                total += each.get();
            }
            return total;
        } catch (ExecutionException e) {
            throw new IOException(e.getCause());
        }
    }
}
