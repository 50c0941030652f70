package io.vmft.engine.primary;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.proto.blk.v1.EpochReply;
import io.vmft.proto.blk.v1.Refusal;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

final class SealsTest {
    private final Map<Long, CompletableFuture<EpochReply>> asked = new HashMap<>();
    private final List<String> heard = new ArrayList<>();
    private final Seals seals = new Seals(
            epoch -> asked.computeIfAbsent(epoch, _ -> new CompletableFuture<>()),
            epoch -> heard.add("library " + epoch),
            Runnable::run,
            (epoch, reply, failure) -> heard.add("loop " + epoch
                    + (failure != null ? " " + failure.getMessage() : Seals.isSealed(reply) ? "" : " no")));

    @Test
    void theLibraryHearsOfASealBeforeTheLoopWhichThenMayArmTheNextEpoch() {
        seals.arm(5);
        seals.harvested(5);
        assertThat(heard).isEmpty();
        answer(5).complete(EpochReply.getDefaultInstance());
        assertThat(heard).containsExactly("library 5", "loop 5");
    }

    @Test
    void onlyTheLoopHearsOfASealThatWasRefusedOrNotAnswered() {
        seals.arm(5);
        seals.harvested(5);
        answer(5)
                .complete(EpochReply.newBuilder()
                        .setRefusal(Refusal.newBuilder().setCode(Refusal.Code.FENCED))
                        .build());
        seals.arm(6);
        seals.harvested(6);
        answer(6).completeExceptionally(new IllegalStateException("late"));
        assertThat(heard).containsExactly("loop 5 no", "loop 6 late");
    }

    @Test
    void anEpochThatIsNotArmedIsNotSealed() {
        seals.harvested(4);
        seals.arm(5);
        seals.harvested(4);
        assertThat(asked).isEmpty();
    }

    private CompletableFuture<EpochReply> answer(long epoch) {
        return Objects.requireNonNull(asked.get(epoch));
    }
}
