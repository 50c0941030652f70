package io.vmft.blk.control;

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
}
