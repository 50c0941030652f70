package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.blk.export.ExportView;
import io.vmft.proto.blk.v1.Mode;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Objects;
import java.util.Random;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A server under random writes, trims, epochs, takeovers, restarts and power losses, with the applier working beside, against
 * byte arrays. The seed is the test's argument.
 */
class VolumeModelTest {
    private static final int SIZE = 200_000;
    private static final int STEPS = 250;

    @TempDir
    private Path directory;

    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void everyReadIsTheModels(long seed) throws Exception {
        try (Run run = new Run(seed)) {
            for (int step = 0; step < STEPS; step++) {
                run.step();
                run.check();
            }
        }
    }

    private final class Run implements AutoCloseable {
        private final Random random;
        private BlkServer server;
        private Engine engine;
        private String bootId = "boot 0";
        private byte[] current = new byte[SIZE];
        private byte[] committed = new byte[SIZE];
        private final NavigableMap<Long, byte[]> sealed = new TreeMap<>();
        private long epoch;
        private @Nullable ExportView primary;
        private @Nullable ExportView standby;

        Run(long seed) throws Exception {
            random = new Random(seed);
            server = BlkServer.start(config());
            engine = new Engine(server, "vm1", "disk");
            engine.open("hostA");
            reopenViews();
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

        private void reopenViews() throws Exception {
            primary = engine.primary();
            standby = engine.record().getStandbyGeneration() == 0 ? null : engine.standby();
        }

        private ExportView primary() {
            if (primary == null) {
                throw new AssertionError("no primary");
            }
            return primary;
        }

        void step() throws Exception {
            int dice = random.nextInt(100);
            Mode mode = engine.record().getMode();
            boolean guarded = mode == Mode.SYNCING || mode == Mode.PROTECTED;
            if (dice < 55) {
                change();
            } else if (dice < 60) {
                primary().flush();
            } else if (dice < 74 && guarded) {
                seal();
            } else if (dice < 88 && guarded) {
                commit();
            } else if (dice < 92 && mode == Mode.PROTECTED) {
                takeOver();
            } else if (dice < 94 && guarded) {
                engine.goSolo();
                keepAll();
            } else if (dice < 95) {
                engine.close();
                engine.open("hostA");
                keepAll();
            } else if (dice < 97) {
                restart();
            } else if (dice < 98 && mode == Mode.PROTECTED) {
                losePower();
            } else if (mode == Mode.SOLO) {
                engine.beginProtect("hostB");
                reopenViews();
            }
        }

        private void change() throws Exception {
            int offset = random.nextInt(SIZE);
            int length = Math.min(SIZE - offset, 1 + random.nextInt(random.nextInt(8) == 0 ? 60_000 : 3_000));
            boolean fua = random.nextInt(10) == 0;
            switch (random.nextInt(6)) {
                case 0 -> {
                    primary().trim(offset, length, fua);
                    Arrays.fill(current, offset, offset + length, (byte) 0);
                }
                case 1 -> {
                    primary().writeZeroes(offset, length, random.nextBoolean(), fua);
                    Arrays.fill(current, offset, offset + length, (byte) 0);
                }
                default -> {
                    byte[] data = new byte[length];
                    random.nextBytes(data);
                    ByteBuf buffer = random.nextBoolean()
                            ? Unpooled.wrappedBuffer(data)
                            : Unpooled.directBuffer(length).writeBytes(data);
                    primary().write(offset, buffer, fua);
                    assertThat(buffer.readableBytes()).isEqualTo(length);
                    buffer.release();
                    System.arraycopy(data, 0, current, offset, length);
                }
            }
        }

        private void seal() {
            epoch += 1 + random.nextInt(2);
            engine.seal(epoch);
            sealed.put(epoch, current.clone());
        }

        private void commit() {
            if (sealed.isEmpty()) {
                return;
            }
            Map.Entry<Long, byte[]> entry = random.nextBoolean() ? sealed.firstEntry() : sealed.lastEntry();
            engine.commit(entry.getKey());
            committed = entry.getValue();
            sealed.headMap(entry.getKey(), true).clear();
        }

        private void takeOver() throws Exception {
            long newest = epoch - random.nextInt(2);
            long oldest = engine.record().getCommittedEpoch();
            long chosen = engine.takeOver("hostB", oldest, Math.max(oldest, newest));
            current = chosen == oldest
                    ? committed.clone()
                    : Objects.requireNonNull(sealed.get(chosen)).clone();
            committed = current;
            sealed.clear();
            // The standby's view turns into the primary's in place.
            ExportView view = standby;
            if (view == null) {
                throw new AssertionError("no standby");
            }
            primary = view;
            standby = null;
        }

        private void keepAll() throws Exception {
            committed = current;
            current = current.clone();
            sealed.clear();
            reopenViews();
        }

        private void restart() throws Exception {
            server.close();
            server = BlkServer.start(config());
            engine = new Engine(server, "vm1", "disk");
            reopenViews();
        }

        private void losePower() throws Exception {
            bootId = "boot " + random.nextLong();
            server.close();
            server = BlkServer.start(config());
            engine = new Engine(server, "vm1", "disk");
            if (random.nextBoolean()) {
                long stands = engine.record().getCommittedEpoch();
                assertThat(engine.takeOver("hostB", stands, epoch)).isEqualTo(stands);
            } else {
                engine.open("hostA");
            }
            current = committed.clone();
            keepAll();
        }

        void check() throws Exception {
            check(primary(), current);
            if (standby != null && engine.record().getMode() == Mode.PROTECTED) {
                check(standby, committed);
            }
        }

        private void check(ExportView view, byte[] expected) throws Exception {
            int offset = random.nextInt(SIZE);
            int length = 1 + random.nextInt(Math.min(SIZE - offset, 30_000));
            ByteBuf buffer = Unpooled.directBuffer(16);
            view.read(offset, length, buffer);
            byte[] found = new byte[length];
            assertThat(buffer.readableBytes()).isEqualTo(length);
            buffer.readBytes(found);
            buffer.release();
            assertThat(Arrays.mismatch(found, Arrays.copyOfRange(expected, offset, offset + length)))
                    .as("first wrong byte of %d+%d, %s", offset, length, engine.record())
                    .isEqualTo(-1);
        }

        @Override
        public void close() {
            server.close();
        }
    }
}
