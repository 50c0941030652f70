package io.vmft.engine.thread;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.engine.config.CpuList;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/** Asks the kernel what became of a thread. */
class PauseThreadsTest {
    /** As the kernel shows it to the thread itself. */
    private record Seen(String cpus, String nice) {}

    private static Seen enlisted(PauseThreads threads) {
        CompletableFuture<Seen> seen = new CompletableFuture<>();
        Thread.ofPlatform().start(() -> {
            try {
                threads.enlist();
                String status = Files.readString(Path.of("/proc/thread-self/status"));
                String stat = Files.readString(Path.of("/proc/thread-self/stat"));
                seen.complete(new Seen(
                        status.replaceAll("(?s).*Cpus_allowed_list:\\s*(\\S+).*", "$1"),
                        stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1)[16]));
            } catch (IOException e) {
                seen.completeExceptionally(new UncheckedIOException(e));
            }
        });
        return seen.join();
    }

    private static CpuList one() {
        BitSet one = new BitSet();
        one.set(Scheduling.affinity().nextSetBit(0));
        return new CpuList(one);
    }

    @Test
    void aThreadGoesWhereItIsPut() throws Exception {
        PauseThreads threads = new PauseThreads(one(), 3);
        threads.check();
        assertThat(enlisted(threads)).isEqualTo(new Seen(one().toString(), "3"));
        assertThat(Scheduling.affinity()).as("this thread stays where it was").isNotEqualTo(new BitSet());
    }

    @Test
    void withoutAWishNothingChanges() throws Exception {
        Seen before = enlisted(new PauseThreads(CpuList.ANY, 0));
        new PauseThreads(CpuList.ANY, 0).check();
        assertThat(before.cpus()).isEqualTo(new CpuList(Scheduling.affinity()).toString());
    }

    @Test
    void processorsThatThisHostHasNotAreNamed() {
        PauseThreads threads = new PauseThreads(CpuList.parse("8191"), 0);
        assertThatThrownBy(threads::check)
                .isInstanceOf(SchedulingException.class)
                .hasMessageContaining("protection.cpu_affinity")
                .hasMessageContaining("8191")
                .hasMessageContaining("may run on " + new CpuList(Scheduling.affinity()));
    }

    @Test
    void someOfThemAreNotEnough() {
        BitSet more = one().cpus().get(0, CpuList.MAX_CPUS);
        more.set(8191);
        assertThatThrownBy(new PauseThreads(new CpuList(more), 0)::check)
                .isInstanceOf(SchedulingException.class)
                .hasMessageContaining("may only run on " + one());
    }
}
