package io.vmft.blk.server;

import io.vmft.blk.file.StoreFiles;
import io.vmft.config.ConfigException;
import io.vmft.config.Quantity;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** The command line {@code blk-server grow}. Exit status: 0 the volume has the size, 1 it has not, 2 wrong arguments. */
@Command(
        name = "grow",
        description = "Enlarges a volume while no server runs and no VM has it open; never shrinks one.")
final class GrowCommand implements Callable<Integer> {
    @Option(names = "--data", paramLabel = "DIR", description = "the server's directory")
    private @Nullable Path data;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "the server's file of settings, which names that directory")
    private @Nullable Path configFile;

    @Parameters(index = "0", paramLabel = "NAME", description = "the volume")
    private String name = "";

    @Parameters(index = "1", paramLabel = "SIZE", description = "what it is to have afterwards, like 40G")
    private String size = "";

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "show this")
    @SuppressWarnings("UnusedVariable") // picocli reads it
    private boolean help;

    @Override
    public Integer call() throws IOException {
        Path directory;
        long sizeBytes;
        try {
            directory = ServerPlace.directory(data, configFile, new HashMap<>());
            sizeBytes = VolumeSpec.size(size);
        } catch (ConfigException | IllegalArgumentException e) {
            System.err.println("blk-server: " + e.getMessage());
            return 2;
        }
        boolean grown = VolumeGrowth.grow(StoreFiles.SYSTEM, directory, name, sizeBytes);
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        out.println(
                name + (grown ? " has " : " had ") + Quantity.sizeInWords(sizeBytes) + (grown ? " now" : " already"));
        return 0;
    }
}
