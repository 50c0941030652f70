package io.vmft.bench.nbd;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The servers that can be measured, and how each is started to serve one image under the name {@value #EXPORT}. */
enum ServerKind {
    BLK_SERVER("blk-server") {
        @Override
        List<String> command(Place place) throws IOException {
            return BlkServerCommand.of(place, List.of(EXPORT + "=" + place.image()));
        }
    },
    NBDKIT("nbdkit") {
        @Override
        List<String> command(Place place) {
            List<String> command = new ArrayList<>(List.of("nbdkit", "-f", "-e", EXPORT));
            command.addAll(
                    place.unix()
                            ? List.of("-U", place.socket(this).toString())
                            : List.of("-i", Place.HOST, "-p", "" + place.port()));
            command.addAll(List.of("file", place.image().toString()));
            return command;
        }
    },
    QEMU_NBD("qemu-nbd") {
        @Override
        List<String> command(Place place) {
            List<String> command = new ArrayList<>(List.of("qemu-nbd", "-t", "-e", "16", "-x", EXPORT));
            command.addAll(
                    place.unix()
                            ? List.of("-k", place.socket(this).toString())
                            : List.of("-b", Place.HOST, "-p", "" + place.port()));
            // Others have the image, too.
            String image = "driver=raw,file.driver=file,file.locking=off,file.filename=" + place.image();
            command.addAll(List.of("--cache=writeback", "--image-opts", image));
            return command;
        }
    },
    NBD_SERVER("nbd-server") {
        @Override
        List<String> command(Place place) throws IOException {
            Path config = place.folder().resolve("nbd-server-" + place.port() + ".conf");
            String where = place.unix()
                    ? "unixsock = " + place.socket(this)
                    : "listenaddr = " + Place.HOST + "\nport = " + place.port();
            String text = """
                    [generic]
                    %s
                    allowlist = true
                    [%s]
                    exportname = %s
                    flush = true
                    """.formatted(where, EXPORT, place.image());
            Files.writeString(config, text, StandardCharsets.UTF_8);
            return List.of(
                    "nbd-server", "-C", config.toString(), "-p", pidFile(place).toString());
        }

        @Override
        Path pidFile(Place place) {
            return place.folder().resolve("nbd-server-" + place.port() + ".pid");
        }
    };

    static final String EXPORT = "disk";

    private final String label;

    ServerKind(String label) {
        this.label = label;
    }

    abstract List<String> command(Place place) throws IOException;

    /** Where a server that detaches itself from the process that was started says which one it is; empty: it does not. */
    Path pidFile(Place place) {
        return Path.of("");
    }

    @Override
    public String toString() {
        return label;
    }
}
