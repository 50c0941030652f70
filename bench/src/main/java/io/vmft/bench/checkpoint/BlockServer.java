package io.vmft.bench.checkpoint;

import io.vmft.bench.OwnCommand;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

/** A blk-server with a disk for each VM. */
record BlockServer(OwnProcess process, String nbd, String control) {
    private static final Pattern READY = Pattern.compile("ready control=(\\S+)");
    private static final int PORT = 10809;

    /** What is done to each disk before it is served. */
    interface Preparation {
        Preparation NONE = image -> {};

        void prepare(Path image) throws IOException, InterruptedException;
    }

    static BlockServer start(Ground ground, List<String> volumes, Preparation preparation)
            throws IOException, InterruptedException {
        Artifacts.require(Artifacts.linuxDisk());
        Path data = Files.createDirectories(ground.folder().resolve("storage"));
        String nbd = "127.0.0.1:" + PORT;
        List<String> arguments = new ArrayList<>(
                List.of("--data", data.toString(), "--listen", nbd, "--control", "127.0.0.1:" + (PORT + 1)));
        for (String volume : volumes) {
            Path image = ground.folder().resolve(volume + ".img");
            Ground.command("cp", "--sparse=always", Artifacts.linuxDisk().toString(), image.toString());
            preparation.prepare(image);
            arguments.addAll(List.of("--volume", volume + "=" + image));
        }
        OwnProcess process = OwnProcess.start(ground, "blk-server", OwnCommand.BLOCK_SERVER, arguments);
        MatchResult ready = process.await(READY);
        return new BlockServer(process, nbd, ready.group(1));
    }
}
