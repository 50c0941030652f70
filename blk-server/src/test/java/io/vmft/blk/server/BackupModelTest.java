package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.blk.export.BlockStatus;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.volume.WriteMode;
import io.vmft.proto.blk.v1.Mode;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Committed views and what changed between them, under random writes, epochs, takeovers, changes of VM and restarts, with the applier
 * working beside. Every view must stay what it was, and a copy of an older view with the blocks that are reported as changed must make
 * the newer one. The seed is the test's argument.
 */
class BackupModelTest {
    private static final int BLOCK = 64 << 10;
    private static final int SIZE = 40 * BLOCK + 12_345;
    private static final int BLOCKS = 41;
    private static final int STEPS = 300;

    @TempDir
    private Path directory;

    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {1, 2, 3, 4, 5, 6})
    void everyViewStandsStillAndEveryDifferenceIsReported(long seed) throws Exception {
        try (Run run = new Run(seed)) {
            for (int step = 0; step < STEPS; step++) {
                run.step();
                run.check();
            }
            assertThat(run.cleanBlocks).as("blocks that need not be copied").isPositive();
            assertThat(run.zeroBytes).as("bytes that need not be read").isPositive();
            assertThat(run.protectedCommits).as("commits").isPositive();
            assertThat(run.backups).as("views opened").hasSizeGreaterThan(5);
        }
    }

    /** What a view held when it was opened. */
    private static final class Backup {
        private final long point;
        private final byte[] content;
        /** How many of the writes it had; −1: that is not known. */
        private final long writes;
        /** Of the server that made it: after a restart the journal's changes count as new. */
        private final int life;

        Backup(long point, byte[] content, long writes, int life) {
            this.point = point;
            this.content = content;
            this.writes = writes;
            this.life = life;
        }
    }

    private record Live(ExportView view, Backup backup) {}

    /** An epoch that is sealed. */
    private static final class Sealed {
        private final long epoch;
        private final byte[] content;
        private final long writes;

        Sealed(long epoch, byte[] content, long writes) {
            this.epoch = epoch;
            this.content = content;
            this.writes = writes;
        }
    }

    private final class Run implements AutoCloseable {
        private final Random random;
        private BlkServer server;
        private Engine engine;
        private String bootId = "boot 0";
        private byte[] current = new byte[SIZE];
        private byte[] committed = new byte[SIZE];
        private long committedWrites;
        private final List<Sealed> sealed = new ArrayList<>();
        private long epoch;
        private @Nullable ExportView primary;
        private final List<Live> lives = new ArrayList<>();
        private final List<Backup> backups = new ArrayList<>();
        /** For each block, the number of the last write that touched it. */
        private final long[] touched = new long[BLOCKS];

        private long writes;
        private long cleanBlocks;
        private long zeroBytes;
        private long protectedCommits;
        private boolean held;
        private int label;
        private int life;

        Run(long seed) throws Exception {
            random = new Random(seed);
            server = BlkServer.start(config());
            engine = new Engine(server, "vm1", "disk");
        }

        private BlkServerConfig config() {
            return BlkServerConfig.forTest(
                            directory.resolve("data"),
                            List.of(VolumeSpec.created("disk", directory.resolve("disk.img"), SIZE)))
                    .journal(JournalSettings.DEFAULT
                            .withSizes(16 << 20, 256 << 10)
                            .withApplyInterval(Duration.ofMillis(1 + random.nextInt(20))))
                    .bootId(bootId)
                    .build();
        }

        private ExportView primary() throws Exception {
            if (primary == null) {
                primary = held ? engine.primary() : engine.bare();
            }
            return primary;
        }

        private Mode mode() {
            return held ? engine.record().getMode() : Mode.CLOSED;
        }

        void step() throws Exception {
            int dice = random.nextInt(100);
            Mode mode = mode();
            boolean guarded = mode == Mode.SYNCING || mode == Mode.PROTECTED;
            if (dice < 40) {
                change();
            } else if (dice < 50) {
                pin();
            } else if (dice < 53) {
                if (!lives.isEmpty()) {
                    lives.remove(random.nextInt(lives.size())).view().close();
                }
            } else if (dice < 56) {
                restart();
            } else if (guarded) {
                guardedStep(dice, mode);
            } else if (dice < 70) {
                change();
            } else if (!held) {
                engine = new Engine(server, random.nextBoolean() ? "vm1" : "vm2", "disk");
                engine.open("hostA");
                epoch = engine.record().getSealedEpoch();
                held = true;
                kept();
            } else if (dice < 92) {
                engine.beginProtect("hostB");
            } else {
                engine.close();
                held = false;
                kept();
            }
        }

        private void guardedStep(int dice, Mode mode) throws Exception {
            if (dice < 72) {
                seal();
            } else if (dice < 92) {
                commit();
                protectedCommits++;
            } else if (dice < 96 && mode == Mode.PROTECTED) {
                takeOver();
            } else if (dice < 98) {
                engine.goSolo();
                kept();
            } else if (dice < 99) {
                engine.close();
                held = false;
                kept();
            }
        }

        private void change() throws Exception {
            int offset = random.nextInt(SIZE);
            int length = Math.min(SIZE - offset, 1 + random.nextInt(random.nextInt(6) == 0 ? 4 * BLOCK : 5_000));
            writes++;
            for (int block = offset / BLOCK; block <= (offset + length - 1) / BLOCK; block++) {
                touched[block] = writes;
            }
            switch (random.nextInt(5)) {
                case 0 -> {
                    primary().trim(offset, length, false);
                    Arrays.fill(current, offset, offset + length, (byte) 0);
                }
                case 1 -> {
                    primary().writeZeroes(offset, length, random.nextBoolean(), false);
                    Arrays.fill(current, offset, offset + length, (byte) 0);
                }
                default -> {
                    byte[] data = new byte[length];
                    random.nextBytes(data);
                    ByteBuf buffer = Unpooled.directBuffer(length).writeBytes(data);
                    primary().write(offset, buffer, false);
                    buffer.release();
                    System.arraycopy(data, 0, current, offset, length);
                }
            }
        }

        /** What a view opened now must hold; null where it depends on how far the applier is. */
        private byte @Nullable [] expected() {
            if (engine.volume().mode() != WriteMode.JOURNALED) {
                return current;
            }
            return mode() == Mode.PROTECTED ? committed : null;
        }

        private void pin() throws Exception {
            if (lives.size() == 4) {
                lives.removeFirst().view().close();
            }
            boolean journaled = engine.volume().mode() == WriteMode.JOURNALED;
            byte @Nullable [] expected = expected();
            ExportView view = engine.view("@committed.l" + label++);
            byte[] content = read(view, 0, SIZE);
            if (expected != null) {
                assertThat(Arrays.mismatch(content, expected)).isEqualTo(-1);
            }
            long had = expected == null ? -1 : journaled ? committedWrites : writes;
            Backup backup = new Backup(Engine.point(view), content, had, life);
            for (Backup before : backups) {
                assertThat(backup.point).isGreaterThanOrEqualTo(before.point);
                if (backup.point == before.point) {
                    assertThat(content).isEqualTo(before.content);
                }
            }
            lives.add(new Live(view, backup));
            backups.add(backup);
        }

        private void seal() {
            epoch += 1 + random.nextInt(2);
            engine.seal(epoch);
            sealed.add(new Sealed(epoch, current.clone(), writes));
        }

        private void commit() {
            if (sealed.isEmpty()) {
                return;
            }
            int which = random.nextInt(sealed.size());
            engine.commit(sealed.get(which).epoch);
            committed = sealed.get(which).content;
            committedWrites = sealed.get(which).writes;
            sealed.subList(0, which + 1).clear();
        }

        private void takeOver() throws Exception {
            long oldest = engine.record().getCommittedEpoch();
            long chosen = engine.takeOver("hostB", oldest, Math.max(oldest, epoch - random.nextInt(2)));
            current = committed.clone();
            for (Sealed some : sealed) {
                if (some.epoch <= chosen) {
                    current = some.content.clone();
                }
            }
            kept();
        }

        private void kept() {
            committed = current.clone();
            committedWrites = writes;
            sealed.clear();
            primary = null;
        }

        private void restart() throws Exception {
            boolean otherBoot = random.nextBoolean() && (mode() == Mode.PROTECTED || !held);
            if (otherBoot) {
                bootId = "boot " + random.nextLong();
            }
            if (otherBoot && !held) {
                engine.awaitDirect();
            }
            for (Live live : lives) {
                live.view().close();
            }
            lives.clear();
            life++;
            server.close();
            server = BlkServer.start(config());
            engine = new Engine(server, engine.vm(), "disk");
            primary = null;
            if (otherBoot && held) {
                current = committed.clone();
                engine.open(engine.record().getPrimary());
                kept();
            }
        }

        void check() throws Exception {
            for (Live live : lives) {
                int offset = random.nextInt(SIZE);
                int length = 1 + random.nextInt(Math.min(SIZE - offset, 200_000));
                byte[] found = read(live.view(), offset, length);
                assertThat(Arrays.mismatch(found, Arrays.copyOfRange(live.backup().content, offset, offset + length)))
                        .as(
                                "first wrong byte of %d+%d at %s",
                                offset, length, live.view().description())
                        .isEqualTo(-1);
            }
            if (!lives.isEmpty()) {
                Live live = lives.get(random.nextInt(lives.size()));
                checkAllocation(live);
                checkChanges(live, backups.get(random.nextInt(backups.size())));
            }
        }

        private void checkAllocation(Live live) throws Exception {
            long at = random.nextInt(SIZE);
            while (at < SIZE) {
                List<BlockStatus> extents =
                        live.view().blockStatus(BlockStatus.ALLOCATION, at, SIZE - at, 1 + random.nextInt(20));
                assertThat(extents).isNotEmpty();
                for (BlockStatus extent : extents) {
                    int end = (int) (at + extent.lengthBytes());
                    if ((extent.flags() & BlockStatus.ZERO) != 0) {
                        byte[] zeroes = new byte[end - (int) at];
                        assertThat(Arrays.equals(zeroes, Arrays.copyOfRange(live.backup().content, (int) at, end)))
                                .as("zeroes at %d", at)
                                .isTrue();
                        zeroBytes += zeroes.length;
                    }
                    at = end;
                }
            }
            assertThat(at).isEqualTo(SIZE);
        }

        private void checkChanges(Live live, Backup since) throws Exception {
            Backup now = live.backup();
            boolean[] dirty = dirty(live.view(), since.point);
            byte[] restored = since.content.clone();
            boolean exact = since.point <= now.point && since.writes >= 0 && since.life == life;
            for (int block = 0; block < BLOCKS; block++) {
                int start = block * BLOCK;
                int end = Math.min(SIZE, start + BLOCK);
                if (dirty[block]) {
                    System.arraycopy(now.content, start, restored, start, end - start);
                    assertThat(exact && touched[block] <= since.writes)
                            .as("block %d is reported although it was not touched since point %d", block, since.point)
                            .isFalse();
                } else {
                    cleanBlocks++;
                }
            }
            assertThat(Arrays.mismatch(restored, now.content))
                    .as("first byte that differs from point %d and is not reported", since.point)
                    .isEqualTo(-1);
        }

        private boolean[] dirty(ExportView view, long point) throws Exception {
            boolean[] dirty = new boolean[BLOCKS];
            for (long at = 0; at < SIZE; ) {
                for (BlockStatus extent :
                        view.blockStatus(BlockStatus.EPOCH_DIRTY + point, at, SIZE - at, 1 + random.nextInt(9))) {
                    for (long i = at;
                            extent.flags() == BlockStatus.DIRTY && i < at + extent.lengthBytes();
                            i += BLOCK) {
                        dirty[(int) (i / BLOCK)] = true;
                    }
                    at += extent.lengthBytes();
                }
            }
            return dirty;
        }

        private byte[] read(ExportView view, int offset, int length) throws Exception {
            ByteBuf buffer = Unpooled.directBuffer(length);
            view.read(offset, length, buffer);
            byte[] found = new byte[length];
            buffer.readBytes(found);
            buffer.release();
            return found;
        }

        @Override
        public void close() {
            server.close();
        }
    }
}
