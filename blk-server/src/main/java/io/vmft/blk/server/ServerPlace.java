package io.vmft.blk.server;

import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.inspect.OfflineData;
import io.vmft.blk.operator.OperatorClient;
import io.vmft.config.ConfigException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options that name a server: one that runs, by its control address, or one that does not, by its directory. */
final class ServerPlace {
    @Option(names = "--data", paramLabel = "DIR", description = "the directory of a server that does not run")
    private @Nullable Path data;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "the file of settings of a server that does not run, which names that directory")
    private @Nullable Path configFile;

    @Option(names = "--control", paramLabel = "HOST:PORT", description = "where a running server is asked")
    private @Nullable String control;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "show this")
    @SuppressWarnings("UnusedVariable") // picocli reads it
    private boolean help;

    /** What to do with one or the other. */
    interface Running<T> {
        T with(OperatorClient client) throws IOException;
    }

    interface Down<T> {
        T with(OfflineData data) throws IOException;
    }

    /**
     * Asks the server, or looks at what it left.
     *
     * @throws IllegalArgumentException if the options name none, or two
     */
    <T> T look(Running<T> running, Down<T> down) throws IOException, ConfigException {
        return with(running, down, false);
    }

    /** As {@link #look}, but to change something: a server that does not run is not looked at by anybody else meanwhile. */
    <T> T change(Running<T> running, Down<T> down) throws IOException, ConfigException {
        return with(running, down, true);
    }

    private <T> T with(Running<T> running, Down<T> down, boolean alone) throws IOException, ConfigException {
        if ((control != null ? 1 : 0) + (data != null || configFile != null ? 1 : 0) != 1) {
            throw new IllegalArgumentException("which server? name a running one with --control HOST:PORT, or the"
                    + " directory of one that does not run with --data, or its --config");
        }
        if (control != null) {
            try (OperatorClient client = new OperatorClient(ConfigFile.controlAddress(control))) {
                return running.with(client);
            }
        }
        Map<String, Path> images = new HashMap<>();
        Path path = directory(data, configFile, images);
        try (DataDirectory directory =
                alone ? DataDirectory.openExisting(StoreFiles.SYSTEM, path) : DataDirectory.look(path)) {
            return down.with(new OfflineData(
                    directory.index(),
                    directory.journal(),
                    directory.changes(),
                    images,
                    BootId.ofThisHost(),
                    StoreFiles.SYSTEM));
        }
    }

    /**
     * The directory that {@code --data} or else {@code --config} names.
     *
     * @param images gets where the file says that volumes' images are
     */
    static Path directory(@Nullable Path data, @Nullable Path configFile, Map<String, Path> images)
            throws ConfigException {
        if (configFile == null) {
            if (data == null) {
                throw new IllegalArgumentException(
                        "whose volume? name the server's directory with --data, or its --config");
            }
            return data;
        }
        BlkServerConfig.Builder settings = BlkServerConfig.builder();
        ConfigFile.read(configFile, settings);
        settings.volumes().forEach(volume -> images.put(volume.name(), volume.image()));
        Path declared = data == null ? settings.data() : data;
        if (declared == null) {
            throw new IllegalArgumentException(configFile + " names no data directory; name it with --data");
        }
        return declared;
    }
}
