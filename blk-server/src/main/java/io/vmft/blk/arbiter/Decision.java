package io.vmft.blk.arbiter;

import io.vmft.proto.blk.v1.Refusal;

/** What the rules say to a call. */
public sealed interface Decision {
    /** It is to be done: {@code next} stands when it is durable. */
    record Accepted(VmState next) implements Decision {}

    /** It was done before; nothing changes. */
    record Repeated(VmState state) implements Decision {}

    /** It is not to be done. */
    record Refused(Refusal refusal) implements Decision {
        public static Refused of(Refusal.Code code, String message) {
            return new Refused(
                    Refusal.newBuilder().setCode(code).setMessage(message).build());
        }
    }
}
