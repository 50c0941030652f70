package io.vmft.blk.journal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.blk.export.NoSpaceException;
import java.io.IOException;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

class JournalBudgetTest {
    private static final long LIMIT = 1000;

    private final JournalBudget budget = new JournalBudget(LIMIT, Duration.ZERO);
    private final JournalBudget.Account one = budget.account(1);
    private final JournalBudget.Account other = budget.account(2);

    private static CompletableFuture<Void> reserve(JournalBudget.Account account, long bytes) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        Thread.ofPlatform().daemon().start(() -> {
            try {
                account.reserve(bytes);
                done.complete(null);
            } catch (IOException e) {
                done.completeExceptionally(e);
            }
        });
        return done;
    }

    private void awaitWaiting(int writers) {
        Awaitility.await().until(() -> budget.waiting() == writers);
    }

    @Test
    void oneLaneAloneMayUseEverything() throws Exception {
        one.reserve(LIMIT);
        assertThat(one.tryReserve(1)).isFalse();
        one.reserve(LIMIT / 4);
        CompletableFuture<Void> more = reserve(one, 1);
        awaitWaiting(1);
        one.release(1);
        more.get(10, TimeUnit.SECONDS);
        one.release(LIMIT / 4 + 1);
        assertThat(one.tryReserve(1)).isTrue();
    }

    @Test
    void aLaneThatIsStuckLeavesTheOtherItsShare() throws Exception {
        one.reserve(LIMIT + LIMIT / 4);
        for (int i = 0; i < 10; i++) {
            // A quarter of the limit each time: half, divided by two.
            other.reserve(LIMIT / 4);
            other.release(LIMIT / 4);
        }
        other.reserve(LIMIT / 4);
        CompletableFuture<Void> more = reserve(other, LIMIT / 4);
        awaitWaiting(1);
        assertThat(budget.usedBytes()).isLessThanOrEqualTo(LIMIT + LIMIT / 2);
        other.release(LIMIT / 4);
        more.get(10, TimeUnit.SECONDS);
    }

    @Test
    void aShareIsHalfTheLimitDividedByThoseWhoUseAnything() throws Exception {
        assertThat(one.isShare(LIMIT)).isFalse();
        one.reserve(1);
        assertThat(one.isShare(LIMIT / 2 - 1)).isFalse();
        assertThat(one.isShare(LIMIT / 2)).isTrue();
        other.reserve(1);
        assertThat(one.isShare(LIMIT / 4)).isTrue();
        assertThat(other.isShare(LIMIT / 4 - 1)).isFalse();
    }

    @Test
    void filesThatOneLaneKeepsDoNotStopTheOther() throws Exception {
        one.reserve(10);
        other.reserve(10);
        budget.addFileBytes(2 * LIMIT + LIMIT);
        budget.heldFiles(Map.of(1, 3 * LIMIT, 2, LIMIT / 10));
        other.reserve(10);
        CompletableFuture<Void> more = reserve(one, 10);
        awaitWaiting(1);
        budget.addFileBytes(-2 * LIMIT);
        more.get(10, TimeUnit.SECONDS);
    }

    @Test
    void aWriterIsRefusedWhenItsImageTakesNothingAndAnotherIsNot() throws Exception {
        one.reserve(LIMIT + LIMIT / 4);
        CompletableFuture<Void> full = reserve(one, 1);
        awaitWaiting(1);
        one.stuck(new NoSpaceException("the disk is full"));
        assertThatThrownBy(() -> full.get(10, TimeUnit.SECONDS))
                .cause()
                .isInstanceOf(NoSpaceException.class)
                .hasMessageContaining("the disk is full");
        one.stuck(new IOException("the disk is broken"));
        assertThatThrownBy(() -> one.reserve(1))
                .isNotInstanceOf(NoSpaceException.class)
                .hasMessageContaining("the disk is broken");
        other.reserve(LIMIT / 4);
        one.stuck(null);
        CompletableFuture<Void> waits = reserve(one, 1);
        awaitWaiting(1);
        one.release(LIMIT);
        waits.get(10, TimeUnit.SECONDS);
    }

    @Test
    void aClosedBudgetLetsEverybodyGoOn() throws Exception {
        one.reserve(2 * LIMIT);
        CompletableFuture<Void> more = reserve(one, 1);
        awaitWaiting(1);
        budget.close();
        more.get(10, TimeUnit.SECONDS);
    }
}
