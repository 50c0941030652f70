package io.vmft.demo;

import static io.vmft.demo.BusyVm.PATIENCE;
import static io.vmft.demo.BusyVm.look;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.vmft.engine.EngineException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The file system of a guest's image fills up under it: it stands still, and goes on when there is room. */
@Timeout(300)
class DiskFullIT {
    private static final Path TARGET = Path.of("target/disk-full-it").toAbsolutePath();
    private static final Path SMALL = TARGET.resolve("small");
    private static final Path BALLAST = SMALL.resolve("ballast");
    private static final int SMALL_BYTES = 256 << 20;

    /** The journal is soon full too. */
    private static final List<String> LITTLE_JOURNAL = List.of("--journal-limit", "4M", "--journal-segment", "1M");

    private boolean mounted;

    @BeforeEach
    void mount() throws Exception {
        BusyVm.assumeItCanRun();
        Command.run("mkdir", "-p", SMALL.toString());
        Path backing = TARGET.resolve("backing");
        try (RandomAccessFile file = new RandomAccessFile(backing.toFile(), "rw")) {
            file.setLength(0);
            file.setLength(SMALL_BYTES);
        }
        Command.run("mkfs.ext4", "-q", "-m", "0", backing.toString());
        Command.Result result = Command.attempt("mount", "-o", "loop", backing.toString(), SMALL.toString());
        org.junit.jupiter.api.Assumptions.assumeTrue(result.status() == 0, "no loop mount: " + result.lastLine());
        mounted = true;
    }

    @AfterEach
    void unmount() throws Exception {
        if (mounted) {
            Command.run("umount", SMALL.toString());
        }
    }

    private static void fill() throws IOException {
        byte[] block = new byte[4096];
        try (OutputStream out = Files.newOutputStream(BALLAST)) {
            while (true) {
                out.write(block);
            }
        } catch (IOException e) {
            assertThat(e).hasMessageContaining("No space left");
        }
    }

    private static boolean standsStill(Host host) {
        try {
            return BusyVm.ask(host, "status").contains("stands still: disk0: write: No space left on device");
        } catch (EngineException e) {
            return false;
        }
    }

    @Test
    void aGuestStandsStillThroughATakeOverTooAndGoesOnWhenThereIsRoom() throws Exception {
        try (BusyVm vm = new BusyVm("vmft.load=8", TARGET, SMALL, LITTLE_JOURNAL)) {
            vm.awaitAnswers(20);
            fill();
            await().atMost(PATIENCE).until(() -> standsStill(vm.primary));
            assertThat(look(vm.primary).isProtected()).isTrue();

            vm.primary.die(new java.util.Random(1));
            await().atMost(PATIENCE)
                    .until(() -> vm.standby.look().filter(Sight::isPrimary).isPresent());
            await().atMost(PATIENCE).until(() -> standsStill(vm.standby));
            Files.delete(BALLAST);
            vm.awaitAnswers(20);
            await().atMost(PATIENCE).until(() -> !standsStill(vm.standby));

            // Nobody protects it now: what it writes goes to the image at once.
            fill();
            await().atMost(PATIENCE).until(() -> standsStill(vm.standby));
            Files.delete(BALLAST);
            vm.awaitAnswers(20);

            Audit audit = Audit.of(vm.client.dump(), vm.client.history().entries(), vm.client.unanswered());
            assertThat(audit.isClean()).as("%s", audit).isTrue();
            vm.client.shutdown();
            vm.standby.engine().awaitEnd(PATIENCE);
            vm.blkServer.stop(PATIENCE);
            assertThat(Command.attempt("e2fsck", "-fn", vm.image.toString()).status())
                    .isZero();
            String onDisk = Command.data("debugfs", "-R", "cat /data/ledger", vm.image.toString())
                    .output();
            assertThat(Audit.of(onDisk, vm.client.history().entries(), vm.client.unanswered())
                            .isClean())
                    .isTrue();
            assertThat(Files.readString(vm.place.folder().resolve("logs/guest-console.log")))
                    .doesNotContain("FAILED");
        }
    }
}
