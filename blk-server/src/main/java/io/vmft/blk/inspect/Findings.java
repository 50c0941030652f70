package io.vmft.blk.inspect;

import io.vmft.proto.blk.v1.Finding;
import io.vmft.proto.blk.v1.Finding.Weight;
import java.util.function.Consumer;

/** Passes on what is found, and remembers the worst of it. Not thread-safe. */
public final class Findings {
    private final Consumer<Finding> to;
    private Weight worst = Weight.NOTE;

    public Findings(Consumer<Finding> to) {
        this.to = to;
    }

    /** Nothing is wrong, but it is worth knowing. */
    void note(String message) {
        add(Weight.NOTE, message);
    }

    /** It could not be looked at. */
    void unknown(String message) {
        add(Weight.UNKNOWN, message);
    }

    void inconsistent(String message) {
        add(Weight.INCONSISTENT, message);
    }

    private void add(Weight weight, String message) {
        if (weight.getNumber() > worst.getNumber()) {
            worst = weight;
        }
        to.accept(Finding.newBuilder()
                .setWeight(weight)
                .setMessage(message.lines().findFirst().orElse(""))
                .build());
    }

    /** NOTE if nothing was wrong. */
    public Weight worst() {
        return worst;
    }
}
