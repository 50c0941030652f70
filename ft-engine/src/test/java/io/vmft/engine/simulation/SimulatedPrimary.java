package io.vmft.engine.simulation;

import io.vmft.engine.simulation.SimulatedStorage.Answer;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.GoSoloRequest;
import io.vmft.proto.blk.v1.Mode;
import io.vmft.proto.blk.v1.Refusal;
import org.jspecify.annotations.Nullable;

/** Runs the VM, alone or protected: {@code PrimaryRole}'s and {@code StorageLoss}'s decisions. Everything on its host. */
final class SimulatedPrimary {
    private static final int LOOK_TICKS = 40;
    private static final int RETRY_TICKS = 10;
    private static final int PATIENCE_TICKS = 2 * SimulatedLink.TIMEOUT_TICKS;

    private final SimulatedCluster cluster;
    private final SimulatedHost host;
    private final SimulatedHost other;
    private final SimulatedGuest guest;
    private ArbiterRecord record;
    private @Nullable SimulatedSession session;
    private boolean goingSolo;
    private boolean storageLost;
    private long patientUntil;

    SimulatedPrimary(
            SimulatedCluster cluster,
            SimulatedHost host,
            SimulatedHost other,
            SimulatedGuest guest,
            ArbiterRecord record) {
        this.cluster = cluster;
        this.host = host;
        this.other = other;
        this.guest = guest;
        this.record = record;
    }

    void start() {
        look();
    }

    void killGuest() {
        guest.kill();
    }

    private boolean isCurrent() {
        return host.primary() == this;
    }

    void recordChanged(ArbiterRecord changed) {
        record = changed;
    }

    private void look() {
        if (!isCurrent() || storageLost) {
            return;
        }
        cluster.network().send(host, SimulatedStorage::get, answer -> checkDataOf(answer.record()));
        if (session == null && !goingSolo) {
            SimulatedSession next = new SimulatedSession(cluster, this, host, other, guest, record.getGeneration());
            session = next;
            next.start();
        }
        host.later(LOOK_TICKS, this::look);
    }

    private void checkDataOf(ArbiterRecord seen) {
        if (isCurrent()
                && seen.getDataLost()
                && seen.getPrimary().equals(host.name())
                && cluster.mistake() != Mistake.TRY_AGAIN_AFTER_DATA_LOSS) {
            dataLost();
        }
    }

    void sessionEnded(SimulatedSession from, boolean begun) {
        if (session == from) {
            session = null;
        }
        if (begun && isCurrent() && !storageLost) {
            goingSolo = true;
            if (cluster.mistake() == Mistake.GO_SOLO_WITHOUT_ARBITER) {
                guest.open();
            }
            askToGoSolo();
        }
    }

    private void askToGoSolo() {
        GoSoloRequest request = GoSoloRequest.newBuilder()
                .setVm(SimulatedStorage.VM)
                .setGeneration(record.getGeneration())
                .build();
        cluster.network()
                .ask(host, () -> isCurrent() && !storageLost, storage -> storage.goSolo(request), this::wentSolo);
    }

    private void wentSolo(Answer answer) {
        Refusal.Code refusal = answer.refusal();
        if (refusal == null) {
            goingSolo = false;
            record = answer.record();
            checkDataOf(record);
            guest.open();
        } else if (refusal == Refusal.Code.DATA_LOST && cluster.mistake() != Mistake.TRY_AGAIN_AFTER_DATA_LOSS) {
            dataLost();
        } else if (refusal == Refusal.Code.STORAGE_FAILED || refusal == Refusal.Code.DATA_LOST) {
            host.later(RETRY_TICKS, () -> {
                if (isCurrent() && !storageLost) {
                    askToGoSolo();
                }
            });
        } else {
            fenced();
        }
    }

    /** Another host runs the VM: the engine ends. */
    void fenced() {
        if (isCurrent() && !storageLost) {
            guest.kill();
            cluster.engineEnded(host);
        }
    }

    void dataLost() {
        if (!isCurrent() || storageLost) {
            return;
        }
        storageLost = true;
        guest.kill();
        if (session != null) {
            session.end();
        }
        patientUntil = cluster.schedule().now() + PATIENCE_TICKS;
        waitForTakeOver();
    }

    private void waitForTakeOver() {
        cluster.network().ask(host, this::isCurrent, SimulatedStorage::get, answer -> {
            ArbiterRecord seen = answer.record();
            if (!seen.getPrimary().equals(host.name())) {
                cluster.engineEnded(host);
            } else if (seen.getMode() == Mode.PROTECTED && cluster.schedule().now() < patientUntil) {
                host.later(RETRY_TICKS, () -> {
                    if (isCurrent()) {
                        waitForTakeOver();
                    }
                });
            } else {
                cluster.boot(host, false, this::isCurrent);
            }
        });
    }
}
