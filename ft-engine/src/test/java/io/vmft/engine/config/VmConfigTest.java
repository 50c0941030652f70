package io.vmft.engine.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.config.ConfigException;
import io.vmft.engine.config.Endpoint.HostPort;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class VmConfigTest {
    private static final String SMALLEST = """
            name: vm1
            memory: 256M
            blk_server: 10.0.0.9:5000
            """;

    @TempDir
    Path directory;

    @Test
    void readsEveryKey() throws Exception {
        VmConfig config = load("""
                name: vm1
                memory: 2G
                cpus: 4
                accelerator: tcg
                cpu_model: max
                machine: pc-i440fx-7.2
                virtio: legacy
                blk_server: unix:/run/blk.sock
                control: 10.0.0.9:5001
                disks:
                  - volume: root
                  - volume: data
                    errors: report
                nics:
                  - mac: 52:54:00:AB:34:56
                    tap: vm1-tap0
                    bridge: br0
                kernel: vmlinuz
                initrd: /boot/initrd
                append: "console=ttyS0 root=/dev/vda"
                vga: std
                vnc: 10.0.0.1:5901
                firmware: /fw/CODE.fd
                firmware_vars: vm1.vars
                qemu: /opt/qemu/bin/qemu-system-x86_64
                qemu_args: [-device, virtio-rng-pci]
                serial: serial.log
                protection:
                  epoch: 10ms
                  max_in_flight: 3
                  heartbeat: 50ms
                  failure_timeout: 300ms
                  qemu_timeout: 30s
                  standbys: [10.0.0.2:4441, "[fe80::2]:4441"]
                  auto: false
                  listen: :4442
                  staging: 128M
                  held_frames: 8M
                  cpu_affinity: 0-1, 3
                  nice: -10
                  sync_rate: 500M
                  verify_epochs: 100
                  compression: never
                  delta_cache: 32M
                """);
        assertThat(config)
                .isEqualTo(new VmConfig(
                        "vm1",
                        2L << 30,
                        4,
                        Accelerator.TCG,
                        Optional.of("max"),
                        "pc-i440fx-7.2",
                        Virtio.LEGACY,
                        new Endpoint.UnixPath(Path.of("/run/blk.sock")),
                        new HostPort("10.0.0.9", 5001),
                        List.of(new Disk("root"), new Disk("data", DiskErrors.REPORT)),
                        List.of(new Nic("52:54:00:ab:34:56", "vm1-tap0", Optional.of("br0"))),
                        Optional.of(new DirectBoot(
                                directory.resolve("vmlinuz"),
                                Optional.of(Path.of("/boot/initrd")),
                                "console=ttyS0 root=/dev/vda")),
                        new Display(true, Optional.of(new HostPort("10.0.0.1", 5901))),
                        Optional.of(new Uefi(Path.of("/fw/CODE.fd"), directory.resolve("vm1.vars"))),
                        "/opt/qemu/bin/qemu-system-x86_64",
                        List.of("-device", "virtio-rng-pci"),
                        Optional.of(directory.resolve("serial.log")),
                        new Protection(
                                Duration.ofMillis(10),
                                3,
                                Duration.ofMillis(50),
                                Duration.ofMillis(300),
                                Duration.ofSeconds(30),
                                List.of(new HostPort("10.0.0.2", 4441), new HostPort("fe80::2", 4441)),
                                false,
                                new HostPort("0.0.0.0", 4442),
                                128L << 20,
                                8L << 20,
                                CpuList.parse("0,1,3"),
                                -10,
                                new Copying(500L << 20, 100, Copying.Compression.NEVER, 32L << 20))));
    }

    @Test
    void needsOnlyNameMemoryAndBlockServer() throws Exception {
        VmConfig config = load(SMALLEST);
        assertThat(config.cpus()).isEqualTo(1);
        assertThat(config.accelerator()).isEqualTo(Accelerator.AUTO);
        assertThat(config.control()).isEqualTo(new HostPort("10.0.0.9", 5001));
        assertThat(config.machine()).isEqualTo("pc");
        assertThat(config.protection()).isEqualTo(Protection.DEFAULT);
    }

    @Test
    void overridesWinOverTheFileAndSupplyWhatItLacks() throws Exception {
        Path file = write("name: vm1\nmemory: 256M\naccelerator: kvm\n");
        VmConfig config = VmConfig.load(file, Map.of("blk_server", "10.1.1.1:6000", "accelerator", "tcg"));
        assertThat(config.blkServer()).isEqualTo(new HostPort("10.1.1.1", 6000));
        assertThat(config.accelerator()).isEqualTo(Accelerator.TCG);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "memroy: 1G                              | :4: memroy: unknown key; known here: accelerator, append,",
                "cpus: four                              | :4: cpus: \"four\" is not a whole number",
                "cpus: 0                                 | :4: cpus: 0 is not between 1 and 255",
                "cpus:                                   | :4: cpus: has no value",
                "cpus: [1]                               | :4: cpus: must be a single value",
                "accelerator: xen                        | :4: accelerator: \"xen\" is none of auto, kvm, tcg",
                "machine: microvm                        | :4: machine: \"microvm\" is not supported; use pc, q35",
                "virtio: modern                          | :4: virtio: \"modern\" is neither transitional nor legacy",
                "machine: pc,accel=kvm                   | :4: machine:",
                "name: vm2                               | :4: name: is given twice",
                "control: 10.0.0.9                       | :4: control: \"10.0.0.9\" is not HOST:PORT",
                "control: 10.0.0.9:0                     | :4: control: 10.0.0.9:0 has port 0",
                "append: quiet                           | :4: append: has no use without kernel",
                "disks: root                             | :4: disks: must be a list",
                "disks: [root]                           | :4: disks: must be a list of KEY: VALUE groups",
                "disks: [{volume: a}, {volume: a}]       | :4: disks: volume a is named twice",
                "disks: [{volume: a@3}]                  | :4: disks[0].volume: \"a@3\" is not a volume's name",
                "disks: [{image: a}]                     | :4: disks[0].image: unknown key; known here: errors, volume",
                "disks: [{volume: a, errors: ignore}]    | :4: disks[0].errors: \"ignore\" is none of pause-when-full, report, pause",
                "disks: [{}]                             | :4: disks[0].volume: is missing",
                "nics: [{mac: 52:54:00:12:34:56}]        | :4: nics[0].tap: is missing",
                "nics: [{mac: 52-54, tap: t}]            | :4: nics[0].mac: \"52-54\" is not a MAC address",
                "nics: [{mac: 53:54:00:12:34:56, tap: t}]| :4: nics[0].mac: 53:54:00:12:34:56 is a multicast address",
                "nics: [{mac: 52:54:00:12:34:56, tap: averyveryverylongname}] | :4: nics[0].tap:",
                "qemu_args: [-m, 1G]                     | :4: qemu_args: -m cannot be given here: use the key memory",
                "qemu_args: [--incoming, x]              | :4: qemu_args: --incoming cannot be given here",
                "protection: fast                        | :4: protection: must be a group",
                "protection: {epoch: 25}                 | :4: protection.epoch: \"25\" is not a duration",
                "protection: {epoch: 1m}                 | :4: protection.epoch: 60000ms is not between",
                "protection: {heartbeat: 1s}             | :4: protection.failure_timeout: 1000ms is not between two heartbeats (2000ms)",
                "protection: {qemu_timeout: 2s}          | :4: protection.qemu_timeout: 2000ms is not between 5s and 1h",
                "protection: {standbys: [a:0]}           | :4: protection.standbys: a:0 has port 0",
                "protection: {auto: maybe}               | :4: protection.auto: \"maybe\" is neither true nor false",
                "protection: {staging: 1M}               | :4: protection.staging: 1 MiB is not between",
                "protection: {max_in_flight: 99}         | :4: protection.max_in_flight: 99",
                "vga: cirrus                             | :4: vga: \"cirrus\" is neither none nor std",
                "vnc: 127.0.0.1:5900                     | :4: vnc: shows nothing without a screen; set vga to std",
                "vga: std\\nvnc: 127.0.0.1:80              | :5: vnc: 127.0.0.1:80 has a port below 5900",
                "firmware: /fw                           | : firmware_vars: is missing; name a file",
                "firmware_vars: x                        | :4: firmware_vars: has no use without firmware: uefi",
                "qemu_args: [-pflash, x]                 | :4: qemu_args: -pflash cannot be given here: use the key firmware",
                "protection: {sync_rate: 100K}           | :4: protection.sync_rate: 100 KiB a second is less than 1M",
                "protection: {compression: zip}          | :4: protection.compression: \"zip\" is none of auto, always, never",
                "protection: {delta_cache: 1K}           | :4: protection.delta_cache: 1 KiB is not between",
                "cpus: &a 1\\nserial: *a                  | :5: aliases are not supported",
                "cpus: 'unclosed                         | :4: not YAML: while scanning a quoted scalar; found unexpected end of stream",
            })
    void namesFileLineKeyAndWayOut(String line, String complaint) {
        assertThatThrownBy(() -> load(SMALLEST + line.replace("\\n", "\n")))
                .isInstanceOf(ConfigException.class)
                .hasMessageStartingWith(directory.resolve("vm1.yaml") + ":")
                .hasMessageContaining(complaint)
                .message()
                .doesNotContain("\n");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "memory: 1G\\nblk_server: a:1        | name: is missing",
                "name: a b\\nmemory: 1G\\nblk_server: a:1 | name: \"a b\" is not a name",
                "name: a\\nmemory: 100K\\nblk_server: a:1 | memory: 100 KiB is not a whole number of MiB",
                "name: a\\nmemory: 1G                | blk_server: is missing",
                "name: a\\nmemory: 1G\\nblk_server: unix:/x | control: is missing; with blk_server unix:/x",
                "name: a\\nmemory: 1G\\nblk_server: a:65535 | control: is missing, and there is no port after",
                "- name: a                          | is not a list of KEY: VALUE lines",
                "'#nothing'                         | is not a list of KEY: VALUE lines",
            })
    void refusesFilesThatLackSomething(String text, String complaint) {
        assertThatThrownBy(() -> load(text.replace("\\n", "\n")))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining(complaint);
    }

    @Test
    void refusesASecondDocument() {
        assertThatThrownBy(() -> load(SMALLEST + "---\nname: vm2\n"))
                .hasMessageContaining("a second document; leave one");
    }

    @Test
    void refusesDeepNesting() {
        assertThatThrownBy(() -> load("disks: " + "[".repeat(100) + "]".repeat(100)))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("nested too deep");
    }

    @Test
    void refusesFilesThatAreNone() throws Exception {
        assertThatThrownBy(() -> VmConfig.load(directory.resolve("none.yaml")))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("none.yaml: cannot be read (no such file)");
        Path binary = Files.write(directory.resolve("binary"), new byte[] {(byte) 0xff, (byte) 0xfe});
        assertThatThrownBy(() -> VmConfig.load(binary)).hasMessageContaining("is not UTF-8 text");
        Path huge = Files.write(directory.resolve("huge"), new byte[(1 << 20) + 1]);
        assertThatThrownBy(() -> VmConfig.load(huge)).hasMessageContaining("is larger than 1 MiB");
    }

    @Test
    void refusesThreadsThatCannotBe() {
        assertThatThrownBy(() -> load(SMALLEST + "protection: {nice: 20}"))
                .hasMessageContaining("nice: 20 is not between");
        assertThatThrownBy(() -> load(SMALLEST + "protection: {nice: fast}"))
                .hasMessageContaining("\"fast\" is not a number");
        assertThatThrownBy(() -> load(SMALLEST + "protection: {cpu_affinity: all}"))
                .hasMessageContaining("cpu_affinity")
                .hasMessageContaining("write it like 0-1,3");
        assertThatThrownBy(() -> load(SMALLEST + "protection: {cpu_affinity: 3-1}"))
                .hasMessageContaining("a range goes up");
        assertThatThrownBy(() -> load(SMALLEST + "protection: {cpu_affinity: 0-99999}"))
                .hasMessageContaining("from 0 to 8191");
    }

    @Test
    void fingerprintsDifferInWords() throws Exception {
        Fingerprint here = load(SMALLEST + "disks: [{volume: a}]").fingerprint();
        Fingerprint there = load(SMALLEST.replace("256M", "512M") + "cpus: 2").fingerprint();
        assertThat(here.differencesFrom(there))
                .containsExactly(
                        "cpus is 1 here, 2 there",
                        "disk 0 is a here, not set there",
                        "memory is 256 MiB here, 512 MiB there");
        assertThat(here.digest()).isNotEqualTo(there.digest());
    }

    @Test
    void fingerprintsLeaveOutWhatMayDiffer() throws Exception {
        Fingerprint here = load(SMALLEST + "serial: /a\nqemu: /x\nprotection: {listen: \"[::]:1\"}")
                .fingerprint();
        Fingerprint there = load(SMALLEST + "serial: /b").fingerprint();
        assertThat(here.differencesFrom(there)).isEmpty();
        assertThat(Fingerprint.of(here.facts()).digest()).isEqualTo(there.digest());
    }

    @Test
    void fingerprintsSeeTheKernelsContents() throws Exception {
        VmConfig config = load(SMALLEST + "kernel: vmlinuz");
        assertThatThrownBy(config::fingerprint).hasMessageContaining("vmlinuz cannot be read (no such file)");
        Files.writeString(directory.resolve("vmlinuz"), "one");
        Fingerprint one = config.fingerprint();
        Files.writeString(directory.resolve("vmlinuz"), "two");
        assertThat(one.differencesFrom(config.fingerprint()))
                .singleElement()
                .asString()
                .startsWith("kernel is sha256 ");
    }

    private VmConfig load(String text) throws ConfigException, IOException {
        return VmConfig.load(write(text));
    }

    private Path write(String text) throws IOException {
        return Files.writeString(directory.resolve("vm1.yaml"), text);
    }
}
