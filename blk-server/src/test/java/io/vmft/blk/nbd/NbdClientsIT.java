package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Independent clients judge: libnbd, QEMU, fio. */
class NbdClientsIT {
    private static final int SIZE_BYTES = 64 << 20;

    enum Transport {
        TCP,
        UNIX
    }

    @TempDir
    Path folder;

    private final FileExports exports = new FileExports();
    private NbdServer server;

    @BeforeEach
    void start() throws IOException {
        exports.with("disk", image("disk")).with("other", image("other"));
        server = NbdServer.start(
                exports,
                List.of(new ListenAddress.Tcp("127.0.0.1", 0), new ListenAddress.Unix(folder.resolve("nbd.sock"))),
                NbdLimits.DEFAULT);
    }

    @AfterEach
    void stop() {
        server.close();
        assertThat(exports.openViews).as("views left open").hasValue(0);
    }

    private Path image(String name) throws IOException {
        byte[] data = new byte[SIZE_BYTES];
        new Random(name.hashCode()).nextBytes(data);
        return Files.write(folder.resolve(name), data);
    }

    private String uri(Transport transport, String export) {
        return server.addresses().get(transport == Transport.TCP ? 0 : 1).uri(export);
    }

    @ParameterizedTest
    @EnumSource
    void nbdinfoSeesTheExports(Transport transport) throws Exception {
        Tool.assumeInstalled("nbdinfo");
        assertThat(Tool.ok("nbdinfo", "--list", uri(transport, ""))).contains("\"disk\"", "\"other\"");
        assertThat(Tool.ok("nbdinfo", "--json", uri(transport, "disk")))
                .contains(
                        "\"protocol\": \"newstyle-fixed\"",
                        "\"structured\": true",
                        "\"export-size\": " + SIZE_BYTES,
                        "\"can_multi_conn\": true",
                        "\"can_df\": true",
                        "\"can_fua\": true",
                        "\"can_trim\": true",
                        "\"can_zero\": true",
                        "\"is_read_only\": false",
                        "\"block_size_minimum\": 1",
                        "\"block_size_preferred\": 4096",
                        "\"block_size_maximum\": 33554432");
    }

    @ParameterizedTest
    @EnumSource
    void refusalsCarryTheirMessage(Transport transport) throws Exception {
        Tool.assumeInstalled("nbdinfo");
        assertThat(Tool.run("nbdinfo", uri(transport, "nothing"))).satisfies(result -> {
            assertThat(result.exitStatus()).isNotZero();
            assertThat(result.output()).contains("nothing");
        });
        assertThat(Tool.run("qemu-img", "info", uri(transport, "held")).output())
                .contains("held is held by vm1@7");
    }

    @ParameterizedTest
    @EnumSource
    void nbdcopyCopiesBothWaysOverFourConnections(Transport transport) throws Exception {
        Tool.assumeInstalled("nbdcopy");
        Path copy = folder.resolve("copy");
        Tool.ok("nbdcopy", "--connections=4", "--requests=32", uri(transport, "disk"), copy.toString());
        assertThat(copy).hasSameBinaryContentAs(folder.resolve("disk"));
        Tool.ok("nbdcopy", "--connections=4", "--flush", copy.toString(), uri(transport, "other"));
        assertThat(folder.resolve("other")).hasSameBinaryContentAs(copy);
    }

    @ParameterizedTest
    @EnumSource
    void qemuImgComparesAndConverts(Transport transport) throws Exception {
        Tool.assumeInstalled("qemu-img");
        assertThat(Tool.ok(
                        "qemu-img",
                        "compare",
                        "-f",
                        "raw",
                        "-F",
                        "raw",
                        uri(transport, "disk"),
                        folder.resolve("disk").toString()))
                .contains("Images are identical");
        Tool.ok(
                "qemu-img",
                "convert",
                "-n",
                "-f",
                "raw",
                "-O",
                "raw",
                folder.resolve("disk").toString(),
                uri(transport, "other"));
        assertThat(folder.resolve("other")).hasSameBinaryContentAs(folder.resolve("disk"));
    }

    @ParameterizedTest
    @EnumSource
    void qemuIoReadsItsPatternsBack(Transport transport) throws Exception {
        Tool.assumeInstalled("qemu-io");
        String output = Tool.ok(
                "qemu-io",
                "-f",
                "raw",
                uri(transport, "disk"),
                "-c",
                "write -P 0xaa 1M 4M",
                "-c",
                "write -f -P 0xbb 1536 512",
                "-c",
                "write -z 2M 64k",
                "-c",
                "write -z -u 3M 64k",
                "-c",
                "discard 4M 64k",
                "-c",
                "flush",
                "-c",
                "read -P 0xaa 1M 1M",
                "-c",
                "read -P 0xbb 1536 512",
                "-c",
                "read -P 0 2M 64k",
                "-c",
                "read -P 0 3M 64k",
                "-c",
                "read -P 0xaa 2162688 983040",
                "-c",
                "read -P 0xaa 4259840 983040");
        assertThat(output).doesNotContain("verification failed", "failed:");
    }

    @ParameterizedTest
    @EnumSource
    void fioVerifiesRandomWrites(Transport transport) throws Exception {
        Tool.assumeInstalled("fio");
        String output = Tool.ok(
                "fio",
                "--name=verify",
                "--ioengine=nbd",
                "--uri=" + uri(transport, "disk"),
                "--rw=randrw",
                "--bsrange=512-128k",
                "--bs_unaligned",
                "--size=32m",
                "--iodepth=32",
                "--verify=crc32c",
                "--verify_backlog=256",
                "--verify_state_save=0",
                "--do_verify=1",
                "--fsync=64");
        assertThat(output).contains("err= 0");
    }
}
