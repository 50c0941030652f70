package io.vmft.engine.primary;

import io.vmft.engine.EngineContext;
import io.vmft.engine.EngineException;
import io.vmft.engine.EngineStatus;
import io.vmft.engine.Role;
import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.epoch.EpochStats;
import io.vmft.engine.epoch.EpochTimes;
import io.vmft.engine.epoch.Phase;
import io.vmft.engine.qemu.QemuExit;
import io.vmft.engine.vm.GuestVm;
import io.vmft.engine.vm.VmEvents;
import io.vmft.kvm.Chunk;
import io.vmft.kvm.Harvest;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.Mode;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs the VM on this host: alone, or protected by one {@link ProtectionSession} at a time. When the backup is lost it asks the
 * arbiter to go solo, and lets output go only when that was granted. When the arbiter gave the VM to another host, or the storage
 * host lost what the guest wrote, QEMU is killed at once. On the engine's loop only.
 */
public final class PrimaryRole implements Role, VmEvents, ProtectionSession.Owner {
    /** Hears how the VM ends. */
    public interface Owner {
        /**
         * The role is over and nothing of it runs.
         *
         * @param failure absent if the guest was shut down or an operator ended it
         */
        void ended(@Nullable EngineException failure);

        /** The VM is to be opened and booted again on this host; nothing of it runs. */
        void bootAgain();
    }

    private static final Logger log = LoggerFactory.getLogger(PrimaryRole.class);
    private static final long LOOK_MILLIS = 1000;

    private final EngineContext context;
    private final GuestVm vm;
    private final Owner owner;
    private final EpochStats stats = new EpochStats();
    private final EngineStatus.@Nullable TakeOver takeOver;

    private ArbiterRecord record;
    private @Nullable ProtectionSession session;
    /** What an operator's protect command waits for. */
    private @Nullable CompletableFuture<String> asked;

    private int nextStandby;
    private String lastAutoFailure = "";
    private @Nullable String stopReason;
    private @Nullable String fencedBy;
    private @Nullable String networkFailure;
    /** Why this host does not run the VM on, which has a backup that can; QEMU is killed, and may take long to be gone. */
    private @Nullable String leftToBackup;

    private @Nullable StorageLoss storageLoss;
    /** From the loss of a backup until the arbiter let the VM go on alone; it stays when that never comes. */
    private @Nullable GoingSolo goingSolo;

    private boolean looking;
    private boolean silenceTold;
    private boolean paused;
    private boolean over;
    private final CompletableFuture<Void> gone = new CompletableFuture<>();

    /**
     * Takes over a running VM; {@link #start} begins the work.
     *
     * @param record as the arbiter gave it: mode SOLO, this host the primary
     * @param takeOver how this host came to run it, if not by booting it
     */
    public PrimaryRole(
            EngineContext context,
            GuestVm vm,
            ArbiterRecord record,
            EngineStatus.@Nullable TakeOver takeOver,
            Owner owner) {
        this.context = context;
        this.vm = vm;
        this.record = record;
        this.takeOver = takeOver;
        this.owner = owner;
    }

    /** Listens to the VM and looks for a standby if the configuration says so. */
    public void start() {
        vm.listen(this);
        look();
    }

    /** Another role runs the VM now, booted again: it ends what this one was told to end. */
    public void succeededBy(PrimaryRole next) {
        if (stopReason != null) {
            next.stop(stopReason).thenRun(() -> gone.complete(null));
        }
    }

    @Override
    public CompletableFuture<String> protect(Optional<HostPort> standby) {
        ProtectionSession current = session;
        if (current != null && current.isProtected()) {
            return CompletableFuture.completedFuture(
                    context.vm() + ": is protected by " + record.getBackup() + " already");
        }
        List<HostPort> standbys = context.config().protection().standbys();
        if (standby.isEmpty() && standbys.isEmpty() && current == null) {
            return CompletableFuture.failedFuture(
                    new EngineException(
                            context.vm()
                                    + ": no standby is configured; name one (protect VM HOST:PORT) or list some under protection.standbys"));
        }
        if (networkFailure != null) {
            return CompletableFuture.failedFuture(new EngineException(
                    context.vm() + ": cannot be protected, its network is broken: " + networkFailure));
        }
        if (vm.isHungUp()) {
            return CompletableFuture.failedFuture(new EngineException(context.vm()
                    + ": cannot be protected, this engine's connection to QEMU is lost; stop the VM and run it again"));
        }
        if (over || leftToBackup != null || storageLoss != null || goingSolo != null || paused || asked != null) {
            return CompletableFuture.failedFuture(new EngineException(
                    context.vm() + ": cannot start to protect now, something else is under way; ask again"));
        }
        CompletableFuture<String> result = new CompletableFuture<>();
        asked = result;
        if (current == null) {
            begin(standby.orElseGet(this::takeNextStandby));
        }
        return result;
    }

    @Override
    public CompletableFuture<Long> pause() {
        if (paused) {
            return CompletableFuture.failedFuture(new EngineException(context.vm() + ": is paused already"));
        }
        ProtectionSession current = session;
        if (leftToBackup != null
                || goingSolo != null
                || storageLoss != null
                || (current != null && !current.isProtected())) {
            return CompletableFuture.failedFuture(new EngineException(
                    context.vm() + ": cannot be paused while protection begins or ends; ask again"));
        }
        paused = true;
        return current == null
                ? vm.stop().thenApply(stopped -> 0L)
                : current.checkpoints().pause();
    }

    @Override
    public CompletableFuture<Void> resume() {
        if (!paused) {
            return CompletableFuture.failedFuture(new EngineException(context.vm() + ": is not paused"));
        }
        paused = false;
        ProtectionSession current = session;
        return current == null
                ? vm.cont().thenApply(goesOn -> null)
                : current.checkpoints().resume();
    }

    @Override
    public CompletableFuture<Void> stop(String reason) {
        if (stopReason == null) {
            stopReason = reason;
            if (!over) {
                log.info("{}: generation {}: ending the VM: {}", context.vm(), record.getGeneration(), reason);
                vm.quit();
            }
        }
        return gone;
    }

    @Override
    public EngineStatus status() {
        ProtectionSession current = session;
        return new EngineStatus(
                context.vm(),
                context.host(),
                "primary",
                mode().toString().toLowerCase(Locale.ROOT),
                state(),
                record.getGeneration(),
                current == null ? 0 : current.openEpoch(),
                current == null ? record.getCommittedEpoch() : current.committedEpoch(),
                current == null ? 0 : current.completeEpoch(),
                stats.epochs(),
                stats.voidCheckpoints(),
                stats.millis(Phase.PAUSE, 50),
                stats.millis(Phase.PAUSE, 99),
                stats.summaries(),
                stats.throttledMillis(),
                stats.dirtyPagesLast(),
                vm.network().heldFrames(),
                0,
                context.qemu().accelerator().toString(),
                context.qemu().version(),
                vm.pid(),
                ProcessHandle.current().pid(),
                current == null ? null : current.standby().toString(),
                null,
                takeOver,
                copying(current));
    }

    private String state() {
        ProtectionSession current = session;
        if (leftToBackup != null) {
            return "left to the backup";
        } else if (storageLoss != null) {
            return "storage lost data";
        } else if (paused) {
            return "paused";
        } else if (vm.diskTrouble() != null) {
            return "stands still: " + vm.diskTrouble();
        } else if (goingSolo != null) {
            return "going solo";
        }
        return current == null ? "running" : current.describe();
    }

    private static EngineStatus.@Nullable Copying copying(@Nullable ProtectionSession current) {
        PageSender.Totals sent = current == null ? null : current.sent();
        return sent == null ? null : new EngineStatus.Copying(sent.dirtyBytes(), sent.sentBytes(), sent.compressing());
    }

    @Override
    public List<EpochTimes> epochsAfter(long epoch) {
        return stats.after(epoch);
    }

    private Mode mode() {
        return session != null && session.isProtected() ? Mode.PROTECTED : record.getMode();
    }

    /** Once a second: is the VM's data there, is there a standby? */
    private void look() {
        if (over || leftToBackup != null || storageLoss != null) {
            return;
        }
        if (session != null) {
            session.look(!looking);
        }
        lookAtRecord();
        autoProtect();
        context.loop().schedule(this::look, LOOK_MILLIS, TimeUnit.MILLISECONDS);
    }

    /** A VM without a backup asks the block server nothing else: it would not hear that its data was lost, or that it was fenced. */
    private void lookAtRecord() {
        if (looking) {
            return;
        }
        looking = true;
        context.control()
                .get(context.vm())
                .whenCompleteAsync(
                        (reply, failure) -> {
                            looking = false;
                            if (reply != null) {
                                checkHolderOf(reply.getRecord());
                                checkDataOf(reply.getRecord());
                            }
                        },
                        context.loop());
    }

    /** This number stays as long as this QEMU may run: it changes when the VM is given to another, or closed, by whomever. */
    private void checkHolderOf(ArbiterRecord seen) {
        if (stopReason == null && storageLoss == null && seen.getPrimaryGeneration() != record.getPrimaryGeneration()) {
            fenced(context.vm() + ": generation " + record.getGeneration() + " is fenced, the current one is "
                    + seen.getGeneration() + " (" + seen.getReason() + ")");
        }
    }

    private void checkDataOf(ArbiterRecord seen) {
        if (seen.getDataLost() && seen.getPrimary().equals(context.host())) {
            dataLost("the storage host lost what was written and not synced; epoch " + seen.getCommittedEpoch()
                    + " stands");
        }
    }

    private void autoProtect() {
        var protection = context.config().protection();
        if (protection.auto()
                && !protection.standbys().isEmpty()
                && session == null
                && goingSolo == null
                && !paused
                && networkFailure == null
                && leftToBackup == null
                && stopReason == null
                && !vm.isHungUp()) {
            begin(takeNextStandby());
        }
    }

    private HostPort takeNextStandby() {
        List<HostPort> standbys = context.config().protection().standbys();
        return standbys.get(Math.floorMod(nextStandby++, standbys.size()));
    }

    private void begin(HostPort standby) {
        ProtectionSession next = new ProtectionSession(context, vm, standby, record.getGeneration(), stats, this);
        session = next;
        silenceTold = false;
        next.start();
    }

    @Override
    public void recordChanged(ArbiterRecord changed) {
        record = changed;
    }

    @Override
    public void protectedNow(ProtectionSession from) {
        lastAutoFailure = "";
        log.info(
                "{}: generation {}, epoch {}: PROTECTED by {} ({})",
                context.vm(),
                record.getGeneration(),
                from.committedEpoch(),
                record.getBackup(),
                from.standby());
        if (asked != null) {
            asked.complete(context.vm() + ": protected by " + record.getBackup() + " (" + from.standby() + ")");
            asked = null;
        }
    }

    @Override
    public void fenced(String message) {
        if (fencedBy == null && leftToBackup == null && !over) {
            fencedBy = message;
            stopGoingSolo();
            log.error("{}: it may not run here any more, ending it: {}", context.vm(), message);
            vm.kill();
        }
    }

    @Override
    public void ended(ProtectionSession from, String reason, boolean begun) {
        session = null;
        if (asked != null) {
            asked.completeExceptionally(new EngineException(context.vm() + ": not protected: " + reason));
            asked = null;
        } else if (!begun && !reason.equals(lastAutoFailure)) {
            lastAutoFailure = reason;
            log.info("{}: not protected yet: {}; trying on", context.vm(), reason);
        }
        // A QEMU that is ending cannot go on alone; the backup may.
        if (begun && !isEndingHere() && !vm.isEnding()) {
            goSolo(reason);
        }
    }

    private void goSolo(String reason) {
        log.warn(
                "{}: generation {}: lost the backup: {}; asking to go on alone",
                context.vm(),
                record.getGeneration(),
                reason);
        goingSolo = new GoingSolo(context, record.getGeneration(), reason, this::soloAnswered);
        goingSolo.ask();
    }

    private void soloAnswered(GoingSolo.Outcome outcome) {
        switch (outcome) {
            case GoingSolo.Alone(ArbiterRecord now) -> alone(now);
            case GoingSolo.Fenced(String message) -> fenced(message);
            case GoingSolo.DataLost(String message) -> dataLost(message);
        }
    }

    private void alone(ArbiterRecord now) {
        goingSolo = null;
        record = now;
        checkDataOf(record);
        if (storageLoss != null) {
            // Granted before the loss, answered after it: held output may show what the disk does not have any more.
            return;
        }
        vm.network().open();
        log.warn("{}: generation {}: UNPROTECTED, running alone", context.vm(), record.getGeneration());
    }

    private void stopGoingSolo() {
        if (goingSolo != null) {
            goingSolo.cancel();
        }
    }

    @Override
    public void dataLost(String message) {
        if (storageLoss != null || over || leftToBackup != null || fencedBy != null) {
            return;
        }
        log.error(
                "{}: generation {}: the guest's disk is older than its memory, ending it here: {}",
                context.vm(),
                record.getGeneration(),
                message);
        storageLoss = new StorageLoss(context, this::afterStorageLoss);
        stopGoingSolo();
        vm.kill();
    }

    private void afterStorageLoss(StorageLoss.Outcome outcome) {
        if (outcome instanceof StorageLoss.TakenOver(ArbiterRecord now)) {
            finish(new EngineException(context.vm() + ": the storage host lost data; " + now.getPrimary()
                    + " goes on from epoch " + now.getCommittedEpoch()));
        } else if (stopReason != null) {
            closeAtArbiter(stopReason);
        } else {
            vm.close();
            owner.bootAgain();
        }
    }

    @Override
    public void chunk(Chunk chunk) {
        if (session != null) {
            session.chunk(chunk);
        } else {
            vm.tracker().release(chunk.slot());
        }
    }

    @Override
    public void digests(long epoch, int[] digests) {
        if (session != null) {
            session.digests(digests);
        }
    }

    @Override
    public void harvested(Harvest harvest) {
        if (session != null) {
            session.harvested(harvest);
        } else {
            vm.tracker().voidCheckpoint(harvest.epoch());
        }
    }

    @Override
    public void resumed(long stoppedNanos, long resumedNanos) {
        if (session != null) {
            session.resumed(stoppedNanos, resumedNanos);
        }
    }

    /** A protected VM goes on where it has a network; an unprotected one goes on without, and cannot be protected from here. */
    @Override
    public void networkLost(String why) {
        networkFailure = why;
        if (isEndingHere()) {
            return;
        }
        ProtectionSession current = session;
        if (current != null && current.isProtected()) {
            leaveToBackup(current, "lost the network: " + why);
        } else {
            log.error("{}: lost the network; the guest runs on without it: {}", context.vm(), why);
            if (current != null) {
                current.end("this host lost the VM's network");
            }
        }
    }

    /** A backup that has no checkpoint yet waits on, as the guest does. */
    @Override
    public void qemuSilent(ProtectionSession from, Duration silence) {
        if (isEndingHere()) {
            return;
        }
        String what = "QEMU has not answered for " + silence.toSeconds() + " s";
        if (from.isProtected()) {
            leaveToBackup(from, what);
        } else if (!silenceTold) {
            silenceTold = true;
            log.warn("{}: {}; the first checkpoint waits for it", context.vm(), what);
        }
    }

    private boolean isEndingHere() {
        return over || leftToBackup != null || fencedBy != null || storageLoss != null || stopReason != null;
    }

    /** The backup hears at once that the link is closed; a QEMU that the kernel keeps may be gone much later, or never. */
    private void leaveToBackup(ProtectionSession from, String why) {
        log.error(
                "{}: generation {}: ending the VM here, its backup {} goes on: {}",
                context.vm(),
                record.getGeneration(),
                record.getBackup(),
                why);
        leftToBackup = why;
        vm.kill();
        from.end(why);
    }

    /** A VM that runs alone runs on; where something waits for QEMU it would wait for ever. */
    @Override
    public void hungUp() {
        ProtectionSession current = session;
        if (leftToBackup != null) {
            return;
        }
        if (current != null && current.isProtected() && !isEndingHere()) {
            leaveToBackup(current, "the connection to QEMU is lost");
        } else if (session == null && goingSolo == null && stopReason == null) {
            log.error(
                    "{}: the connection to QEMU is lost; the guest runs on, and cannot be protected until it was stopped and run again",
                    context.vm());
        } else {
            log.error("{}: the connection to QEMU is lost, ending it", context.vm());
            vm.kill();
        }
    }

    @Override
    public void exited(QemuExit exit, boolean guestShutDown) {
        over = true;
        stopGoingSolo();
        if (leftToBackup != null && stopReason == null && !guestShutDown) {
            finish(new EngineException(context.vm() + ": left to the backup: " + leftToBackup + "; " + exit.inWords()));
            return;
        }
        if (fencedBy != null) {
            finish(new EngineException(context.vm() + ": fenced: " + fencedBy));
            return;
        }
        if (storageLoss != null && stopReason == null) {
            if (session != null) {
                session.end("the storage host lost data");
            }
            storageLoss.begin();
            return;
        }
        boolean ordered = guestShutDown || stopReason != null;
        if (!ordered) {
            // The backup sees the connection close and takes over; without one the record stays, and `run` boots it
            // again.
            if (session != null) {
                session.end("QEMU died here");
            }
            finish(new EngineException(context.vm() + ": " + exit.inWords()));
            return;
        }
        closeAtArbiter(stopReason == null ? "the guest was shut down" : stopReason);
    }

    /** The backup hears of it only when the arbiter has closed the VM: until then it would be right to take over. */
    private void closeAtArbiter(String reason) {
        context.control()
                .closeVm(context.vm(), record.getGeneration(), reason)
                .whenCompleteAsync(
                        (reply, failure) -> {
                            ProtectionSession current = session;
                            if (current != null) {
                                current.sayBye(reason);
                                current.end(reason);
                            }
                            if (reply != null && !reply.hasRefusal()) {
                                log.info("{}: ended: {}", context.vm(), reason);
                                finish(null);
                            } else {
                                finish(new EngineException(context.vm() + ": ended (" + reason
                                        + "), but the block server did not close it: "
                                        + (reply != null ? reply.getRefusal().getMessage() : String.valueOf(failure))));
                            }
                        },
                        context.loop());
    }

    private void finish(@Nullable EngineException failure) {
        if (asked != null) {
            asked.completeExceptionally(
                    failure == null ? new EngineException(context.vm() + ": the VM has ended") : failure);
            asked = null;
        }
        if (session != null) {
            session.end("the VM is over here");
        }
        vm.close();
        gone.complete(null);
        owner.ended(failure);
    }
}
