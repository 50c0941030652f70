package io.vmft.engine.simulation;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.engine.pipeline.CheckpointPipeline;
import io.vmft.engine.pipeline.PipelineAction;
import io.vmft.engine.pipeline.PipelineAction.Abort;
import io.vmft.engine.pipeline.PipelineAction.Commit;
import io.vmft.engine.pipeline.PipelineAction.ConfirmSealed;
import io.vmft.engine.pipeline.PipelineAction.Mark;
import io.vmft.engine.pipeline.PipelineAction.Release;
import io.vmft.engine.pipeline.PipelineAction.Seal;
import io.vmft.engine.pipeline.PipelineAction.SendEnd;
import io.vmft.engine.pipeline.PipelineAction.TellCommitted;
import io.vmft.engine.pipeline.PipelineAction.Trigger;
import io.vmft.engine.pipeline.PipelineAction.VoidPause;
import io.vmft.engine.standby.RamImage;
import io.vmft.engine.standby.StandbyEpochs;
import io.vmft.proto.checkpoint.Frame;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.PriorityQueue;
import java.util.Random;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Primary, backup and block server around the production state machines, driven by one seed: random delays, failed seals, lost
 * answers, a crash, a power loss of the block server or a broken link at a random moment. The guest counts: each step raises its version, writes it to memory and disk, and
 * sends it out. What is checked at the end is DESIGN's promise: nobody outside has seen a version that the surviving VM does not have, its
 * memory and its disk are of one moment, and one host alone runs it.
 */
final class SimulatedCluster {
    /** What a deliberately broken variant leaves out. */
    enum Fault {
        NONE,
        RELEASE_BEFORE_COMMIT,
        COMMIT_BEFORE_COMPLETE,
        SKIP_SEAL,
        DROP_A_PAGE,
        TAKE_OVER_WITHOUT_ARBITER
    }

    private record Event(long at, long order, Runnable action) implements Comparable<Event> {
        @Override
        public int compareTo(Event other) {
            return at != other.at ? Long.compare(at, other.at) : Long.compare(order, other.order);
        }
    }

    private record HeldFrame(long epoch, int version) {}

    private static final int STEPS = 3000;

    private final Random random;
    private final Fault fault;
    private final PriorityQueue<Event> queue = new PriorityQueue<>();
    private long now;
    private long order;

    private final CheckpointPipeline pipeline;
    private final ArrayDeque<HeldFrame> held = new ArrayDeque<>();
    private int version;
    private boolean guestStopped;
    private int stateVersion;
    private long gateEpoch = 1;
    private boolean primaryAlive = true;
    private boolean linkUp = true;
    private long toBackupAt;
    private long toPrimaryAt;
    private boolean solo;
    private boolean dead;

    private int imageVersion;
    private final StandbyEpochs standby = new StandbyEpochs(new RamImage() {
        @Override
        public long pages() {
            return 1;
        }

        @Override
        public void setPage(long pageIndex, ByteBuf source, int offset) {
            imageVersion = source.getInt(offset);
        }
    });
    private boolean tookOver;
    private int resumedVersion;
    private int resumedDisk;

    private long generation = 1;
    private boolean isProtected;
    private long sealedEpoch;
    private long committedEpoch;
    private final TreeMap<Long, Integer> diskAtSeal = new TreeMap<>();
    private int diskNow;

    /** Counts the block server's boots; a request to an earlier one is lost. */
    private int boot;

    private int seenOutside;
    private final List<String> violations = new ArrayList<>();

    SimulatedCluster(long seed, Fault fault) {
        this.random = new Random(seed);
        this.fault = fault;
        this.pipeline = new CheckpointPipeline(1, 1 + random.nextInt(3));
    }

    /** Runs to the end; what was violated. */
    List<String> run() {
        after(0, this::guestStep);
        after(1, this::tick);
        int what = random.nextInt(3);
        after(
                200 + random.nextInt(800),
                what == 0 ? this::crashPrimary : what == 1 ? this::breakLink : this::pausePrimary);
        for (int i = 0; i < STEPS && !queue.isEmpty(); i++) {
            Event next = queue.poll();
            now = next.at;
            next.action.run();
            checkOrder();
        }
        standby.close();
        checkEnd();
        return violations;
    }

    private void after(long delay, Runnable action) {
        queue.add(new Event(now + delay, order++, action));
    }

    private long delay() {
        return random.nextInt(10) == 0 ? random.nextInt(80) : random.nextInt(6);
    }

    private void guestStep() {
        if (!primaryAlive || dead) {
            return;
        }
        if (!guestStopped) {
            version++;
            diskNow = version;
            if (isHolding()) {
                held.add(new HeldFrame(gateEpoch, version));
            } else {
                seenOutside = version;
            }
        }
        after(1 + random.nextInt(3), this::guestStep);
    }

    private boolean isHolding() {
        return !solo && pipeline.openEpoch() > 1;
    }

    private void tick() {
        if (primaryAlive && !solo && linkUp) {
            perform(pipeline.due());
            after(5 + random.nextInt(20), this::tick);
        }
    }

    private void perform(List<PipelineAction> actions) {
        for (PipelineAction action : actions) {
            if (primaryAlive && !solo && !dead) {
                perform(action);
            }
        }
    }

    private void perform(PipelineAction action) {
        switch (action) {
            case Trigger(long epoch) ->
                after(
                        delay(),
                        () -> onPrimary(() -> {
                            guestStopped = true;
                            stateVersion = version;
                            perform(pipeline.paused(epoch));
                        }));
            case Mark(long epoch) -> gateEpoch = epoch + 1;
            case Seal(long epoch) -> seal(epoch);
            case ConfirmSealed(long epoch) -> endPause(epoch, random.nextInt(20) != 0);
            case VoidPause(long epoch) -> endPause(epoch, false);
            case Abort(long epoch) -> toBackup(() -> standby.abort(epoch));
            case SendEnd(long epoch, long pages) -> sendEnd(epoch);
            case Commit(long epoch) -> commit(epoch, generation);
            case Release(long epoch) -> release(epoch);
            case TellCommitted(long epoch) -> toBackup(() -> standby.committed(epoch));
        }
    }

    private void onPrimary(Runnable action) {
        if (primaryAlive && !dead) {
            action.run();
        }
    }

    private void seal(long epoch) {
        if (fault == Fault.SKIP_SEAL) {
            sealedEpoch = Math.max(sealedEpoch, epoch);
            after(30, () -> diskAtSeal.put(epoch, diskNow));
            perform(pipeline.sealed(epoch));
            return;
        }
        long with = generation;
        int sentTo = boot;
        after(delay(), () -> {
            if (sentTo != boot) {
                return;
            }
            boolean accepted = with == generation && epoch > sealedEpoch && random.nextInt(15) != 0;
            if (accepted) {
                sealedEpoch = epoch;
                diskAtSeal.put(epoch, diskNow);
            }
            boolean answerLost = random.nextInt(25) == 0;
            after(
                    delay(),
                    () -> onPrimary(() ->
                            perform(accepted && !answerLost ? pipeline.sealed(epoch) : pipeline.sealFailed(epoch))));
        });
    }

    private void endPause(long epoch, boolean valid) {
        int harvested = fault == Fault.DROP_A_PAGE && epoch % 7 == 0 ? -1 : stateVersion;
        if (valid) {
            toBackup(() -> standby.pages(epoch, pages(harvested)));
        }
        after(
                delay(),
                () -> onPrimary(() -> {
                    guestStopped = false;
                    perform(pipeline.harvested(epoch, valid, 1));
                }));
    }

    private void sendEnd(long epoch) {
        int saved = stateVersion;
        toBackup(() -> {
            standby.deviceState(epoch, Unpooled.buffer().writeInt(saved));
            standby.end(epoch, 1);
            toPrimary(() -> perform(pipeline.complete(epoch)));
        });
        if (fault == Fault.COMMIT_BEFORE_COMPLETE && with(generation)) {
            committedEpoch = Math.max(committedEpoch, epoch);
            release(epoch);
        }
    }

    private boolean with(long presented) {
        return presented == generation;
    }

    private void commit(long epoch, long with) {
        if (fault == Fault.RELEASE_BEFORE_COMMIT) {
            release(epoch);
        }
        int sentTo = boot;
        after(delay(), () -> {
            if (sentTo != boot) {
                return;
            }
            if (with != generation) {
                after(delay(), this::fence);
                return;
            }
            committedEpoch = Math.max(committedEpoch, epoch);
            isProtected = true;
            boolean answerLost = random.nextInt(20) == 0;
            if (answerLost) {
                after(20, () -> onPrimary(() -> commit(epoch, with)));
            } else {
                after(
                        delay(),
                        () -> onPrimary(() -> {
                            if (!solo) {
                                perform(pipeline.committed(epoch));
                            }
                        }));
            }
        });
    }

    private void release(long epoch) {
        for (HeldFrame first = held.peek(); first != null && first.epoch <= epoch; first = held.peek()) {
            held.remove();
            seenOutside = Math.max(seenOutside, first.version);
        }
    }

    private void toBackup(Runnable message) {
        if (linkUp && primaryAlive) {
            toBackupAt = Math.max(toBackupAt, now + delay());
            after(toBackupAt - now, () -> {
                if (!tookOver && linkUp) {
                    message.run();
                }
            });
        }
    }

    private void toPrimary(Runnable message) {
        toPrimaryAt = Math.max(toPrimaryAt, now + delay());
        after(toPrimaryAt - now, () -> {
            if (linkUp && !solo) {
                onPrimary(message);
            }
        });
    }

    private static ByteBuf pages(int value) {
        return Unpooled.buffer()
                .writeInt(1)
                .writeInt(0)
                .writeLongLE(0)
                .writeInt(value)
                .writeZero(Frame.PAGE_BYTES - 4);
    }

    private void crashPrimary() {
        primaryAlive = false;
        if (random.nextInt(3) == 0) {
            powerLoss();
        }
        toBackupAt = Math.max(toBackupAt, now + delay());
        after(toBackupAt - now, this::backupSuspects);
    }

    /** The block server's host loses what was not synced: every epoch that was sealed and not committed. */
    private void powerLoss() {
        boot++;
        diskAtSeal.tailMap(committedEpoch, false).clear();
    }

    /** Both sides lose the link and race for the arbiter. */
    private void breakLink() {
        linkUp = false;
        after(delay(), this::backupSuspects);
        after(delay(), this::primaryAsksToGoSolo);
    }

    /** The primary is slow beyond any timeout: the backup suspects it while its messages still arrive. */
    private void pausePrimary() {
        after(0, this::backupSuspects);
        after(50 + random.nextInt(50), this::primaryAsksToGoSolo);
    }

    private void backupSuspects() {
        StandbyEpochs.Range range = standby.takeOverRange();
        linkUp = false;
        if (range == null) {
            return;
        }
        long with = 1;
        after(delay(), () -> {
            if (fault != Fault.TAKE_OVER_WITHOUT_ARBITER && (with != generation || !isProtected)) {
                return;
            }
            Long chosen = diskAtSeal.floorKey(range.newest());
            if (chosen == null || chosen < range.oldest()) {
                violations.add("no epoch to take over from in " + range + ", sealed " + diskAtSeal.keySet());
                return;
            }
            if (committedEpoch > chosen) {
                violations.add("takeover at " + chosen + " behind committed epoch " + committedEpoch);
            }
            generation++;
            committedEpoch = Math.max(committedEpoch, chosen);
            resumedDisk = diskAtSeal.getOrDefault(chosen, -1);
            resume(chosen);
        });
    }

    private void resume(long chosen) {
        try {
            resumedVersion = standby.goTo(chosen).getInt(0);
        } catch (IllegalStateException e) {
            violations.add(String.valueOf(e.getMessage()));
            return;
        }
        tookOver = true;
        if (imageVersion != resumedVersion || resumedDisk != resumedVersion) {
            violations.add("epoch " + chosen + ": CPU state of version " + resumedVersion + ", memory of "
                    + imageVersion + ", disk of " + resumedDisk);
        }
    }

    private void primaryAsksToGoSolo() {
        if (!primaryAlive) {
            return;
        }
        long with = 1;
        after(delay(), () -> {
            if (with != generation) {
                after(delay(), this::fence);
                return;
            }
            generation++;
            isProtected = false;
            after(
                    delay(),
                    () -> onPrimary(() -> {
                        solo = true;
                        guestStopped = false;
                        release(Long.MAX_VALUE);
                    }));
        });
    }

    private void fence() {
        dead = true;
        held.clear();
    }

    private void checkOrder() {
        if (!tookOver && primaryAlive && !solo && committedEpoch > Math.max(standby.newestComplete(), 0)) {
            violations.add("committed " + committedEpoch + ", complete " + standby.newestComplete());
        }
    }

    private void checkEnd() {
        if (tookOver && solo) {
            violations.add("both run the VM");
        }
        if (tookOver && seenOutside > resumedVersion) {
            violations.add("version " + seenOutside + " was seen outside, the VM went on from " + resumedVersion);
        }
    }

    /** How the run ended, for a summary. */
    @Nullable
    String outcome() {
        return tookOver ? "took over" : solo ? "solo" : null;
    }
}
