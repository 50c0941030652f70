package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.blk.nbd.ListenAddress;
import io.vmft.blk.nbd.NbdLimits;
import io.vmft.blk.tls.TlsSettings;
import io.vmft.config.ConfigException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ConfigFileTest {
    private static final String SMALLEST = """
            data: store
            listen: [":0"]
            control: 127.0.0.1:0
            """;

    @TempDir
    private Path directory;

    private BlkServerConfig read(String text) throws ConfigException, IOException {
        BlkServerConfig.Builder settings = BlkServerConfig.builder();
        ConfigFile.read(Files.writeString(directory.resolve("blk.yaml"), text), settings);
        return settings.build();
    }

    @Test
    void readsEveryKey() throws Exception {
        BlkServerConfig config = read("""
                data: store
                listen:
                  - :10809
                  - "[::1]:10809"
                  - unix:nbd.sock,mode=0660
                control: 127.0.0.1:10810
                journal: {limit: 256M, segment: 8M, apply_interval: 2s, writer_patience: 100ms}
                tls:
                  certificates: pki
                  required: no
                  verify_peer: yes
                limits:
                  connections: 7
                  handshake: 3s
                  options: 9
                  in_flight_requests: 11
                  in_flight_bytes: 4M
                  extents: 13
                  io_threads: 5
                  flush_threads: 2
                volumes:
                  web: {image: web.img, create: 20G, exclusive: true}
                  db:
                    image: /dev/vg0/db
                    readonly: true
                    description: "the database's disk"
                    allow: [host-a, host-b]
                """);
        assertThat(config.data()).isEqualTo(directory.resolve("store"));
        assertThat(config.listen())
                .containsExactly(
                        new ListenAddress.Tcp("", 10809),
                        new ListenAddress.Tcp("::1", 10809),
                        new ListenAddress.Unix(directory.resolve("nbd.sock"), 0660));
        assertThat(config.control()).hasToString("/127.0.0.1:10810");
        assertThat(config.journal())
                .isEqualTo(new JournalSettings(256 << 20, 8 << 20, Duration.ofSeconds(2), Duration.ofMillis(100)));
        assertThat(config.tls()).isEqualTo(new TlsSettings(directory.resolve("pki"), false, true));
        assertThat(config.nbdLimits()).isEqualTo(new NbdLimits(7, Duration.ofSeconds(3), 9, 11, 4 << 20, 13, 5, 2));
        assertThat(config.volumes())
                .containsExactly(
                        new VolumeSpec("web", directory.resolve("web.img"), 20L << 30, false, true, "", Set.of()),
                        new VolumeSpec(
                                "db",
                                Path.of("/dev/vg0/db"),
                                0,
                                true,
                                false,
                                "the database's disk",
                                Set.of("host-a", "host-b")));
    }

    @Test
    void whatIsNotSaidIsAsEver() throws Exception {
        BlkServerConfig config = read(SMALLEST + "volumes: {a: {image: a.img}}");
        assertThat(config.journal()).isEqualTo(JournalSettings.DEFAULT);
        assertThat(config.nbdLimits()).isEqualTo(NbdLimits.DEFAULT);
        assertThat(config.tls()).isNull();
    }

    @Test
    void tlsIsDemandedUnlessItSaysOtherwise() throws Exception {
        assertThat(read(SMALLEST + "tls: {certificates: /pki}\nvolumes: {a: {image: a.img}}")
                        .tls())
                .isEqualTo(new TlsSettings(Path.of("/pki"), true, false));
    }

    @Test
    void theExampleIsWhatHoldsWithoutIt() throws Exception {
        BlkServerConfig.Builder settings = BlkServerConfig.builder();
        Map<String, String> places = ConfigFile.read(Path.of("../docs/blk-server.yaml"), settings);
        assertThat(places).containsOnlyKeys("web", "db", "install");
        BlkServerConfig config = settings.build();
        assertThat(config.journal()).isEqualTo(JournalSettings.DEFAULT);
        assertThat(config.nbdLimits()).isEqualTo(NbdLimits.DEFAULT);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "volume: {}                          | :4: volume: unknown key; known here: control, data, journal,",
                "tls: {required: true}               | :4: tls.certificates: is missing",
                "tls: {certificates: a, mode: x}     | :4: tls.mode: unknown key; known here: certificates, required, verify",
                "data: again                         | :4: data: is given twice",
                "listen: :1                          | :4: listen: is given twice",
                "journal: 1G                         | :4: journal: must be a group",
                "journal: {size: 1G}                 | :4: journal.size: unknown key",
                "journal: {limit: much}              | :4: journal.limit: \"much\" is not a size",
                "journal: {segment: 5000}            | :4: journal.segment: 5000 bytes is not a multiple of 4096",
                "journal: {limit: 1M}                | :4: journal.limit: 1 MiB does not hold two segments of 64 MiB",
                "journal: {apply_interval: 1}        | :4: journal.apply_interval: \"1\" is not a duration",
                "limits: {connections: many}         | :4: limits.connections: \"many\" is not a whole number",
                "limits: {connections: 0}            | :4: limits.connections: is too small",
                "limits: {handshake: 0s}             | :4: limits.handshake: is too small",
                "limits: {in_flight_bytes: 3G}       | :4: limits.in_flight_bytes: \"3G\" is more than 2G",
                "volumes: [web]                      | :4: volumes: must be a group of names",
                "volumes: {a: a.img}                 | :4: volumes.a: must be a group of KEY: VALUE lines",
                "volumes: {a: {}}                    | :4: volumes.a.image: is missing",
                "volumes:\\n  a: {image: x}\\n  a: {image: x} | :6: a: is given twice",
                "volumes: {a@1: {image: x}}          | :4: volumes.a@1.name: volume name 'a@1' is not",
                "volumes: {a: {image: x, create: 0}} | :4: volumes.a.create: \"0\" is too small",
                "volumes: {a: {image: x, create: 1X}}| :4: volumes.a.create: \"1X\" is not a size",
                "volumes: {a: {image: x, readonly: 1}} | :4: volumes.a.readonly: \"1\" is neither true nor false",
                "volumes: {a: {image: [x]}}          | :4: volumes.a.image: must be a single value",
                "volumes: {a: {image: x, allow: h}}  | :4: volumes.a.allow: must be a list",
                "volumes: {a: {image: x, allow: []}} | :4: volumes.a.allow: names nobody",
                "volumes: {a: {image: x, allow: [h, h]}} | :4: volumes.a.allow: h is named twice",
                "volumes: {a: {image: x, size: 1G}}  | :4: volumes.a.size: unknown key; known here: allow, create,",
            })
    void namesFileLineKeyAndWayOut(String line, String complaint) {
        assertThatThrownBy(() -> read(SMALLEST + line.replace("\\n", "\n")))
                .isInstanceOf(ConfigException.class)
                .hasMessageStartingWith(directory.resolve("blk.yaml") + ":")
                .hasMessageContaining(complaint)
                .message()
                .doesNotContain("\n");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "listen: [nowhere]                   | :1: listen: nowhere is not HOST:PORT",
                "listen: ['unix:x,mode=888']         | :1: listen: socket mode 888 is not an octal number",
                "control: unix:x                     | :1: control: unix:x is not HOST:PORT",
                "control: 5001                       | :1: control: 5001 is not HOST:PORT",
            })
    void namesWrongAddresses(String line, String complaint) {
        assertThatThrownBy(() -> read(line)).isInstanceOf(ConfigException.class).hasMessageContaining(complaint);
    }

    @Test
    void saysWhatIsMissing() {
        assertThatThrownBy(() -> read("listen: [':0']")).hasMessageContaining("--data");
        assertThatThrownBy(() -> read("data: d\nlisten: [':0']")).hasMessageContaining("--control");
        assertThatThrownBy(() -> read("data: d\ncontrol: :0")).hasMessageContaining("--listen");
        assertThatThrownBy(() -> read(SMALLEST)).hasMessageContaining("--volume");
    }
}
