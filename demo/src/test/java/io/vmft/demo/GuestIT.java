package io.vmft.demo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The guest, the lab and the client, with a plain QEMU in place of vmft. */
@Timeout(180)
class GuestIT {
    private static final Path GUEST = Path.of("target/guest").toAbsolutePath();
    private static final Duration BOOT = Duration.ofMinutes(1);

    private @Nullable Workplace created;

    @BeforeEach
    void prepare() throws Exception {
        assumeTrue(System.getProperty("user.name").equals("root"), "network namespaces need root");
        assumeTrue(Files.isWritable(Path.of("/dev/net/tun")), "/dev/net/tun cannot be opened");
        assumeTrue(Command.attempt("sh", "-c", "command -v qemu-system-x86_64").status() == 0, "there is no QEMU");
        Command.run("src/main/guest/build-guest.sh", GUEST.toString());
    }

    @AfterEach
    void remove() throws Exception {
        if (created != null) {
            created.remove();
        }
    }

    @Test
    void bootsFromItsDiskKeepsALedgerAndShutsDownCleanly() throws Exception {
        Workplace place = Workplace.create();
        created = place;
        Lab lab = new Lab(place.id());
        place.add(lab::build);
        Path image = place.folder().resolve("disk.img");
        Path console = place.folder().resolve("console");
        Command.run("cp", "--sparse=always", GUEST.resolve("disk.img").toString(), image.toString());
        Process qemu = startQemu(lab.namespace("a"), image, console);

        LedgerClient client = LedgerClient.start(lab.namespace("c"), Lab.GUEST_ADDRESS, BOOT);
        client.awaitConnected();
        while (client.history().size() < 200) {
            client.check();
            assertThat(qemu.isAlive()).isTrue();
            TimeUnit.MILLISECONDS.sleep(5);
        }
        String ledger = client.dump();
        client.shutdown();

        assertThat(qemu.waitFor(30, TimeUnit.SECONDS)).isTrue();
        assertThat(qemu.exitValue()).isZero();
        Audit audit = Audit.of(ledger, client.history().entries(), client.unanswered());
        assertThat(audit.isClean()).isTrue();
        assertThat(audit.acknowledged()).isGreaterThanOrEqualTo(200);
        assertThat(Command.data("debugfs", "-R", "cat /data/ledger", image.toString())
                        .output())
                .isEqualTo(ledger);
        assertThat(Command.attempt("e2fsck", "-fn", image.toString()).status()).isZero();
        assertThat(console).content().contains("load: working on").doesNotContain("FAILED");

        String id = place.id();
        Path folder = place.folder();
        place.remove();
        assertThat(folder).doesNotExist();
        assertThat(Path.of("/run/netns/" + new Lab(id).namespace("a"))).doesNotExist();
        assertThat(Workplace.find(id)).isEmpty();
    }

    @Test
    void whatAKilledDemoLeftIsRemovedByTheNext() throws Exception {
        Workplace place = Workplace.create();
        created = place;
        Lab lab = new Lab(place.id());
        place.add(lab::build);
        Process left = new ProcessBuilder("ip", "netns", "exec", lab.namespace("a"), "sleep", "600").start();
        Workplace.sweep();
        assertThat(left.isAlive()).as("its demo still runs").isTrue();

        Files.writeString(place.folder().resolve("owner"), "1 0");
        Workplace.sweep();

        assertThat(left.waitFor(10, TimeUnit.SECONDS)).isTrue();
        assertThat(place.folder()).doesNotExist();
        assertThat(Path.of("/run/netns/" + lab.namespace("a"))).doesNotExist();
    }

    private static Process startQemu(String namespace, Path image, Path console) throws Exception {
        Command.feed(
                "tuntap add tap0 mode tap\nlink set tap0 master br0\nlink set tap0 up\n",
                "ip",
                "-n",
                namespace,
                "-batch",
                "-");
        return new ProcessBuilder(List.of(
                        "ip",
                        "netns",
                        "exec",
                        namespace,
                        "qemu-system-x86_64",
                        "-accel",
                        "tcg",
                        "-m",
                        "256",
                        "-nodefaults",
                        "-display",
                        "none",
                        "-serial",
                        "file:" + console,
                        "-kernel",
                        GUEST.resolve("vmlinuz").toString(),
                        "-initrd",
                        GUEST.resolve("initrd").toString(),
                        "-append",
                        "console=ttyS0 quiet loglevel=3 vmft.ip=" + Lab.GUEST_ADDRESS + "/24 vmft.load=16",
                        "-drive",
                        "file=" + image + ",format=raw,if=virtio",
                        "-netdev",
                        "tap,id=n,ifname=tap0,script=no,downscript=no",
                        "-device",
                        "virtio-net-pci,netdev=n,romfile="))
                .inheritIO()
                .start();
    }
}
