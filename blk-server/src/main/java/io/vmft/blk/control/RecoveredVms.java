package io.vmft.blk.control;

import io.vmft.blk.arbiter.VmState;
import java.util.List;
import java.util.Map;

/** The VMs recovery found, for the {@link Coordinator}. */
public final class RecoveredVms {
    private final Map<String, Vm> byName;

    RecoveredVms(Map<String, Vm> byName) {
        this.byName = Map.copyOf(byName);
    }

    Map<String, Vm> byName() {
        return byName;
    }

    /**
     * A VM as it is stored.
     *
     * @param lane its number in the journal
     * @param state without its epochs in flight
     * @param settled where its committed epoch ends
     */
    public record Stored(String name, int lane, VmState state, long settled) {}

    /** All of them, by name, to be looked at. */
    public List<Stored> stored() {
        return byName.entrySet().stream()
                .sorted(Map.Entry.comparingByKey())
                .map(entry -> new Stored(
                        entry.getKey(), entry.getValue().lane, entry.getValue().state, entry.getValue().settled))
                .toList();
    }
}
