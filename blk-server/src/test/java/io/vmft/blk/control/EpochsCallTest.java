package io.vmft.blk.control;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.stub.ServerCallStreamObserver;
import io.vmft.proto.blk.v1.EpochReply;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.LongFunction;
import org.junit.jupiter.api.Test;

/** In what order a call is answered and ended. */
class EpochsCallTest {
    private final List<String> seen = new ArrayList<>();
    private final Set<EpochsCall<?>> open = ConcurrentHashMap.newKeySet();

    /** Writes down what the call does with it. */
    private final class Client extends ServerCallStreamObserver<EpochReply> {
        private Runnable onReady = () -> {};
        private Runnable onClose = () -> {};

        @Override
        public boolean isReady() {
            return true;
        }

        @Override
        public boolean isCancelled() {
            return false;
        }

        @Override
        public void setOnReadyHandler(Runnable handler) {
            onReady = handler;
        }

        @Override
        public void setOnCloseHandler(Runnable handler) {
            onClose = handler;
        }

        @Override
        public void setOnCancelHandler(Runnable handler) {}

        @Override
        public void setCompression(String compression) {}

        @Override
        public void disableAutoRequest() {}

        @Override
        public void disableAutoInboundFlowControl() {}

        @Override
        public void request(int count) {
            seen.add("asks for " + count);
        }

        @Override
        public void setMessageCompression(boolean enable) {}

        @Override
        public void onNext(EpochReply reply) {
            seen.add("answers " + reply.getEpoch());
        }

        @Override
        public void onError(Throwable failure) {
            throw new AssertionError(failure);
        }

        @Override
        public void onCompleted() {
            seen.add("ends");
            onClose.run();
        }
    }

    private EpochsCall<Long> begin(LongFunction<EpochReply> answer) {
        Client client = new Client();
        EpochsCall<Long> call = EpochsCall.begin(client, answer::apply, open);
        client.onReady.run();
        return call;
    }

    private EpochReply carryOut(long epoch) {
        seen.add("does " + epoch);
        return EpochReply.newBuilder().setEpoch(epoch).build();
    }

    @Test
    void oneIsAskedForWhenTheLastIsAnswered() {
        EpochsCall<Long> call = begin(this::carryOut);
        call.onNext(1L);
        call.onNext(2L);
        assertThat(seen)
                .containsExactly(
                        "asks for 1", "does 1", "answers 1", "asks for 1", "does 2", "answers 2", "asks for 1");
    }

    @Test
    void whatIsUnderWayIsAnsweredBeforeItEnds() {
        List<EpochsCall<Long>> made = new ArrayList<>();
        made.add(begin(epoch -> {
            made.getFirst().end();
            return carryOut(epoch);
        }));
        made.getFirst().onNext(1L);
        assertThat(seen).containsExactly("asks for 1", "does 1", "answers 1", "ends");
        assertThat(open).isEmpty();
    }

    @Test
    void whatComesAfterItsEndIsNotDone() {
        EpochsCall<Long> call = begin(this::carryOut);
        call.end();
        call.onNext(1L);
        assertThat(seen).containsExactly("asks for 1", "ends");
        assertThat(open).isEmpty();
    }
}
