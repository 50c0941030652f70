package io.vmft.engine.cluster;

import static io.vmft.engine.cluster.TestCluster.await;
import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.engine.blk.BlkControl;
import io.vmft.proto.blk.v1.ArbiterReply;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What is asked of the block server while the connection to it is cut: a backup that was not answered would not go on. */
@Timeout(120)
class CutControlIT {
    private static final int CUTS = 60;
    private static final int QUESTIONS = 40;

    @TempDir
    Path directory;

    @Test
    void whatIsAskedAsTheConnectionIsCutIsAnsweredAfterIt() throws Exception {
        try (TestCluster cluster = new TestCluster(directory);
                SlowProxy proxy = new SlowProxy(cluster.control());
                ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
                BlkControl control = new BlkControl(proxy.address(), timer, () -> {})) {
            for (int cut = 0; cut < CUTS; cut++) {
                await().until(control::isConnected);
                CompletableFuture<Void> cutting = CompletableFuture.runAsync(proxy::cut);
                List<CompletableFuture<ArbiterReply>> answers = new ArrayList<>();
                for (int question = 0; question < QUESTIONS; question++) {
                    answers.add(control.get("vm1"));
                    TimeUnit.MICROSECONDS.sleep(20);
                }
                cutting.join();
                proxy.lift();
                for (CompletableFuture<ArbiterReply> answer : answers) {
                    assertThat(answer.get(20, TimeUnit.SECONDS).getRecord().getVm())
                            .isEqualTo("vm1");
                }
            }
        }
    }
}
