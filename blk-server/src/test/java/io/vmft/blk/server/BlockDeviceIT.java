package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.nbd.Tool;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Volumes on a block device: a loop device where this machine lets one be made. */
class BlockDeviceIT {
    /** No multiple of a page, so that the device ends in the middle of one. */
    private static final int SIZE = (8 << 20) + 512;

    @TempDir
    private Path directory;

    private Path backing;
    private Path device;

    @BeforeEach
    void attach() throws Exception {
        Tool.assumeInstalled("losetup");
        assumeTrue(
                Files.isWritable(Path.of("/dev/loop-control")), "/dev/loop-control cannot be opened: no loop device");
        backing = directory.resolve("backing");
        try (RandomAccessFile file = new RandomAccessFile(backing.toFile(), "rw")) {
            file.setLength(SIZE);
        }
        Tool.Result attached = Tool.run("losetup", "--find", "--show", backing.toString());
        assumeTrue(attached.exitStatus() == 0, "no loop device can be made: " + attached.output());
        device = Path.of(attached.output().strip());
    }

    @AfterEach
    void detach() throws Exception {
        if (device != null) {
            Tool.ok("losetup", "--detach", device.toString());
        }
    }

    private BlkServer start(VolumeSpec volume) throws IOException {
        return BlkServer.start(BlkServerConfig.forTest(directory.resolve("data"), List.of(volume))
                .build());
    }

    private static ExportView view(BlkServer server) throws Exception {
        return server.exports().open("disk", ClientIdentity.UNKNOWN, _ -> {});
    }

    @Test
    void unalignedWritesAndClearsDoWhatTheyDoOnAFile() throws Exception {
        long seed = System.nanoTime();
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        byte[] model = new byte[SIZE];
        try (BlkServer server = start(VolumeSpec.existing("disk", device));
                ExportView view = view(server)) {
            assertThat(view.sizeBytes()).isEqualTo(SIZE);
            for (int i = 0; i < 400; i++) {
                int length = 1 + random.nextInt(64 << 10);
                int offset = random.nextInt(4) == 0 ? SIZE - length : random.nextInt(SIZE - length);
                change(view, model, random, offset, length);
            }
            view.flush();
            ByteBuf all = Unpooled.directBuffer(SIZE);
            view.read(0, SIZE, all);
            byte[] found = new byte[SIZE];
            all.readBytes(found).release();
            assertThat(found).isEqualTo(model);
        }
        assertThat(Files.readAllBytes(backing)).isEqualTo(model);
    }

    private static void change(ExportView view, byte[] model, Random random, int offset, int length)
            throws IOException {
        switch (random.nextInt(4)) {
            case 0 -> {
                view.trim(offset, length, false);
                Arrays.fill(model, offset, offset + length, (byte) 0);
            }
            case 1 -> {
                view.writeZeroes(offset, length, random.nextBoolean(), random.nextBoolean());
                Arrays.fill(model, offset, offset + length, (byte) 0);
            }
            default -> {
                byte[] data = new byte[length];
                random.nextBytes(data);
                System.arraycopy(data, 0, model, offset, length);
                ByteBuf source = Unpooled.directBuffer(length).writeBytes(data);
                view.write(offset, source, random.nextBoolean());
                source.release();
            }
        }
    }

    @Test
    void trimmedBlocksAreGivenBack() throws Exception {
        try (BlkServer server = start(VolumeSpec.existing("disk", device));
                ExportView view = view(server)) {
            ByteBuf data = Unpooled.directBuffer(4 << 20);
            data.writerIndex(4 << 20);
            view.write(0, data, true);
            data.release();
            long before = allocatedBytes();
            view.trim(4097, (4 << 20) - 8192, false);
            view.flush();
            assertThat(allocatedBytes()).isLessThan(before - (3 << 20));
        }
    }

    private long allocatedBytes() throws Exception {
        return 512
                * Long.parseLong(Tool.ok("stat", "-c", "%b", backing.toString()).strip());
    }

    @Test
    void aProtectedVmsEpochsGoToTheDevice() throws Exception {
        try (BlkServer server = start(VolumeSpec.existing("disk", device))) {
            Engine engine = new Engine(server, "vm1", "disk");
            engine.protect();
            ExportView primary = engine.primary();
            engine.seal(1);
            engine.commit(1);
            Blocks.write(primary, 3, 'a');
            engine.seal(2);
            engine.commit(2);
            Blocks.write(primary, 4, 'b');
            engine.takeOver("hostB", 2, 2);
            engine.awaitDirect();
        }
        assertThat(Blocks.inFile(backing, 3)).isEqualTo('a');
        assertThat(Blocks.inFile(backing, 4)).isZero();
    }

    @Test
    void aDeviceInUseIsRefusedAndOneBeingServedCannotBeMounted() throws Exception {
        Tool.assumeInstalled("mke2fs", "mount");
        Tool.ok("mke2fs", "-q", "-t", "ext4", device.toString());
        Path mountPoint = Files.createDirectory(directory.resolve("mnt"));
        Tool.Result mounted = Tool.run("mount", device.toString(), mountPoint.toString());
        assumeTrue(mounted.exitStatus() == 0, "nothing can be mounted here: " + mounted.output());
        try {
            assertThatThrownBy(() -> start(VolumeSpec.existing("disk", device)))
                    .isInstanceOf(IOException.class)
                    .hasMessageMatching(".*(in use|cannot be opened).*");
        } finally {
            Tool.ok("umount", mountPoint.toString());
        }
        try (BlkServer server = start(VolumeSpec.existing("disk", device))) {
            assertThat(server.exports().names(ClientIdentity.UNKNOWN)).containsExactly("disk");
            assertThat(Tool.run("mount", device.toString(), mountPoint.toString())
                            .exitStatus())
                    .isNotZero();
        }
    }

    @Test
    void aReadOnlyExportRefusesWrites() throws Exception {
        try (BlkServer server = start(new VolumeSpec("disk", device, 0, true, false, "", Set.of()));
                ExportView view = view(server)) {
            assertThat(view.readOnly()).isTrue();
            ByteBuf data = Unpooled.directBuffer(512).writeZero(512);
            assertThatThrownBy(() -> view.write(0, data, false)).isInstanceOf(IOException.class);
            data.release();
        }
    }

    @Test
    void itsSizeIsNotOurs() throws Exception {
        start(VolumeSpec.existing("disk", device)).close();
        assertThatThrownBy(() -> VolumeGrowth.grow(StoreFiles.SYSTEM, directory.resolve("data"), "disk", 2L * SIZE))
                .hasMessageContaining("is a block device; give it its size with the tools that made it");
        assertThatThrownBy(() -> start(VolumeSpec.created("disk", device, 2L * SIZE)))
                .hasMessageContaining("create says");
    }
}
