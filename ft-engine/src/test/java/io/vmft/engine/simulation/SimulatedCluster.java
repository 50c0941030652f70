package io.vmft.engine.simulation;

import io.vmft.engine.simulation.SimulatedStorage.Answer;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.Mode;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.Refusal;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.function.BooleanSupplier;

/**
 * Two hosts, a storage host and everybody outside, around the production state machines (checkpoint pipeline, staged epochs, arbiter's
 * rules), driven by one seed. For a while things go wrong; then nothing does, and the VM must run. What is checked all the time is
 * ARCHITECTURE.md's promise: nobody outside has seen a version that the VM that goes on does not have, its memory and its disk are of
 * one moment, and one host alone runs it.
 */
final class SimulatedCluster {
    /** What happened in a run, for knowing that runs are worth something. */
    enum Event {
        TOOK_OVER,
        TOOK_OVER_TWICE,
        WENT_SOLO_OR_BOOTED,
        LOST_POWER,
        ENGINE_ENDED
    }

    private static final int FIRST_FAULT = 120;
    private static final int LAST_FAULT = 900;
    private static final int CALM = 1500;
    private static final int END = 2600;
    /** Long enough for every timeout, retry and restart after the last fault. */
    private static final int LATEST_NEWS = 2200;

    private final Schedule schedule;
    private final Mistake mistake;
    private final Outside outside;
    private final SimulatedStorage storage;
    private final SimulatedNetwork network;
    private final SimulatedHost[] hosts = new SimulatedHost[2];
    private final int maxInFlight;
    private final Set<Event> events = EnumSet.noneOf(Event.class);
    /** So much died that nobody need run the VM until an operator boots it. */
    private boolean excused;

    SimulatedCluster(long seed, Mistake mistake) {
        this.schedule = new Schedule(seed, CALM, END);
        this.mistake = mistake;
        this.outside = new Outside(schedule);
        this.storage = new SimulatedStorage(schedule, outside, mistake);
        this.network = new SimulatedNetwork(schedule, storage, () -> excused = true);
        this.maxInFlight = schedule.between(1, 3);
        hosts[0] = new SimulatedHost(0, schedule);
        hosts[1] = new SimulatedHost(1, schedule);
    }

    /** Runs to the end; what was violated. */
    List<String> run() {
        boot(hosts[0], false, () -> true);
        hosts[1].become(new SimulatedStandby(this, hosts[1]));
        for (int i = schedule.between(1, 4); i > 0; i--) {
            schedule.after(schedule.between(FIRST_FAULT, LAST_FAULT), this::somethingGoesWrong);
        }
        operate();
        schedule.run();
        outside.check(outside.lastNewsAt() > LATEST_NEWS, "nothing was heard of the VM since " + outside.lastNewsAt());
        for (SimulatedHost host : hosts) {
            SimulatedStandby standby = host.standby();
            if (standby != null) {
                standby.release();
            }
        }
        return outside.violations();
    }

    Set<Event> events() {
        return events;
    }

    Schedule schedule() {
        return schedule;
    }

    Mistake mistake() {
        return mistake;
    }

    Outside outside() {
        return outside;
    }

    SimulatedStorage storage() {
        return storage;
    }

    SimulatedNetwork network() {
        return network;
    }

    int maxInFlight() {
        return maxInFlight;
    }

    // ---- what goes wrong

    private void somethingGoesWrong() {
        SimulatedHost host = hosts[schedule.between(0, 1)];
        int ticks = schedule.between(1, schedule.onceIn(2) ? 30 : 250);
        switch (schedule.between(0, 11)) {
            case 0, 1 -> crash(host, false, ticks);
            case 2 -> crash(host, true, ticks);
            case 3 -> host.standStill(ticks, false);
            case 4 -> host.standStill(ticks, true);
            case 5, 6 -> network.cut(0, 1, ticks);
            case 7 -> network.cut(host.number(), SimulatedNetwork.STORAGE, ticks);
            case 8 -> storage.kill(ticks);
            case 9, 10 -> {
                events.add(Event.LOST_POWER);
                storage.losePower(ticks);
            }
            default -> storage.fill(ticks);
        }
        if (schedule.onceIn(4)) {
            // Troubles like company.
            schedule.after(schedule.between(0, 10), this::somethingGoesWrong);
        }
    }

    private void crash(SimulatedHost host, boolean wholeHost, long ticks) {
        if (!host.isAlive()) {
            return;
        }
        ArbiterRecord record = storage.record();
        SimulatedHost other = hosts[1 - host.number()];
        if (record.getPrimary().equals(host.name())) {
            SimulatedStandby standby = other.standby();
            excused |= record.getMode() != Mode.PROTECTED
                    || standby == null
                    || !standby.canTakeOver(record.getGeneration());
        } else {
            excused |= other.primary() == null;
        }
        boolean booted = host.primary() != null && schedule.onceIn(3);
        SimulatedPrimary primary = host.primary();
        if (primary != null) {
            primary.killGuest();
        }
        host.die(wholeHost);
        schedule.after(ticks, () -> restart(host, booted));
    }

    /** An operator starts the engine again, as what it was or as a standby. */
    private void restart(SimulatedHost host, boolean booted) {
        if (host.isAlive()) {
            return;
        }
        host.start();
        if (booted) {
            boot(host, false, () -> host.primary() == null && host.standby() == null);
        } else {
            host.become(new SimulatedStandby(this, host));
        }
    }

    /** An engine found that it has nothing to do any more. */
    void engineEnded(SimulatedHost host) {
        events.add(Event.ENGINE_ENDED);
        host.die(false);
        schedule.after(schedule.between(10, 100), () -> restart(host, false));
    }

    // ---- who runs the VM

    /** Opens the VM, and boots it from its disk. */
    void boot(SimulatedHost host, boolean fence, BooleanSupplier wanted) {
        int process = host.incarnation();
        OpenRequest request = OpenRequest.newBuilder()
                .setVm(SimulatedStorage.VM)
                .setHost(host.name())
                .setFence(fence)
                .build();
        BooleanSupplier still = () -> host.incarnation() == process && wanted.getAsBoolean();
        network.askToOpen(host, still, storage -> storage.open(request), answer -> opened(host, still, answer));
    }

    private void opened(SimulatedHost host, BooleanSupplier still, Answer answer) {
        if (answer.refusal() == Refusal.Code.STORAGE_FAILED) {
            host.later(20, () -> {
                if (still.getAsBoolean()) {
                    boot(host, false, still);
                }
            });
        } else if (answer.refusal() != null) {
            engineEnded(host);
        } else {
            events.add(Event.WENT_SOLO_OR_BOOTED);
            readDisk(host, still, answer.record());
        }
    }

    /** A booting guest reads its disk as soon as it is served. */
    private void readDisk(SimulatedHost host, BooleanSupplier still, ArbiterRecord record) {
        if (!still.getAsBoolean()) {
            return;
        }
        long export = record.getPrimaryGeneration();
        if (storage.serves(export) && network.connects(host.number(), SimulatedNetwork.STORAGE)) {
            int version = storage.read();
            become(host, record, export, version, SimulatedGuest.memoryOf(version));
        } else if (!storage.isUp() || storage.isHeldBy(export)) {
            if (storage.isUp() && storage.record().getDataLost()) {
                boot(host, false, still);
            } else {
                host.later(5, () -> readDisk(host, still, record));
            }
        } else {
            engineEnded(host);
        }
    }

    void tookOver(SimulatedHost host, ArbiterRecord record, long export, int version, int[] memory) {
        events.add(events.contains(Event.TOOK_OVER) ? Event.TOOK_OVER_TWICE : Event.TOOK_OVER);
        become(host, record, export, version, memory);
    }

    private void become(SimulatedHost host, ArbiterRecord record, long export, int version, int[] memory) {
        excused = false;
        SimulatedGuest guest = new SimulatedGuest(schedule, host, storage, network, outside, export, version, memory);
        SimulatedPrimary primary = new SimulatedPrimary(this, host, hosts[1 - host.number()], guest, record);
        host.become(primary);
        primary.start();
    }

    /** An operator who boots the VM where he can, when so much died that it cannot go on by itself. */
    private void operate() {
        schedule.after(150, this::operate);
        if (!excused || !storage.isUp() || schedule.now() - outside.lastNewsAt() < 150) {
            return;
        }
        for (SimulatedHost host : hosts) {
            if (host.isAlive() && host.standby() != null) {
                crash(host, false, 1);
                SimulatedHost chosen = host;
                schedule.after(2, () -> {
                    if (chosen.standby() != null) {
                        chosen.standby().release();
                        chosen.forgetRoles();
                        boot(chosen, true, () -> chosen.primary() == null && chosen.standby() == null);
                    }
                });
                return;
            }
        }
    }
}
