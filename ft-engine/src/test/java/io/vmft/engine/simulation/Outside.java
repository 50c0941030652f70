package io.vmft.engine.simulation;

import java.util.ArrayList;
import java.util.List;

/** Everybody the VM talks to, and the judge of the run. */
final class Outside {
    private final Schedule schedule;
    private final List<String> violations = new ArrayList<>();
    private int seen;
    private int base;
    private long lastNewsAt;

    Outside(Schedule schedule) {
        this.schedule = schedule;
    }

    /** A frame that says {@code version} comes out of a host's net gate. */
    void sees(String host, int version, boolean holdsTheVm) {
        if (!holdsTheVm && version > base) {
            violate(host + " says version " + version + ", but another went on from " + base);
        }
        if (version > seen) {
            seen = version;
            lastNewsAt = schedule.now();
        }
    }

    /** The arbiter gave the VM to a host, which goes on from {@code version}. */
    void goesOnFrom(String host, int version) {
        base = version;
        if (seen > version) {
            violate("version " + seen + " was seen, " + host + " goes on from " + version);
        }
    }

    long lastNewsAt() {
        return lastNewsAt;
    }

    void check(boolean holds, String what) {
        if (!holds) {
            violate(what);
        }
    }

    void violate(String what) {
        if (violations.size() < 10) {
            violations.add("at " + schedule.now() + ": " + what);
        }
    }

    List<String> violations() {
        return violations;
    }
}
