package io.vmft.blk.server;

import io.vmft.blk.inspect.OfflineExport;
import io.vmft.config.ConfigException;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.regex.Pattern;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** The command line {@code blk-server export-epoch}. Exit status: 0 the file is whole, 1 there is none, 2 wrong arguments. */
@Command(
        name = "export-epoch",
        description = {
            "Writes what a volume held at an epoch into a new raw image, sparse and never half.",
            "Of a server that does not run: the committed epoch and those sealed after it. Of a running one: the last commit."
        },
        sortOptions = false)
final class ExportCommand extends PlacedCommand {
    private static final Pattern NUMBER = Pattern.compile("[0-9]{1,18}");

    @Parameters(index = "0", paramLabel = "VOLUME", description = "whose content")
    private String volume = "";

    @Parameters(
            index = "1",
            paramLabel = "EPOCH",
            description = "its number, as 'journal ls' shows it, or the word committed")
    private String epoch = "";

    @Option(names = "--to", required = true, paramLabel = "FILE", description = "the image to make; must not exist")
    private Path to = Path.of("");

    @Override
    int run(ServerPlace server, PrintStream out) throws IOException, ConfigException {
        boolean newest = epoch.equals(OfflineExport.COMMITTED);
        if (!newest && !NUMBER.matcher(epoch).matches()) {
            throw new IllegalArgumentException("'" + epoch + "' is neither the number of an epoch nor committed");
        }
        String what = server.look(
                client -> {
                    if (!newest) {
                        throw new IOException(
                                "a running server exports its last commit only, for older epochs do not last;"
                                        + " ask for the epoch 'committed', or stop the server");
                    }
                    return client.exportCommitted(volume, to);
                },
                data -> OfflineExport.run(data, volume, epoch, to));
        out.println(to + " holds volume " + volume + ": " + what);
        return 0;
    }
}
