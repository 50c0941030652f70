package io.vmft.nbd.client.cli;

import io.vmft.nbd.client.ConnectOptions;
import io.vmft.nbd.client.Extent;
import io.vmft.nbd.client.NbdUri;
import io.vmft.nbd.client.copy.Copy;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import java.util.function.LongConsumer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
        name = "copy",
        description = "Copies an export or file to an export or file, and makes it safe; holes and zeroes stay sparse.",
        mixinStandardHelpOptions = true)
final class CopyCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec = CommandSpec.create();

    @Parameters(paramLabel = "SRC", description = "NBD URI or file")
    private String source = "";

    @Parameters(paramLabel = "DST", description = "NBD URI, or file, which is made anew")
    private String destination = "";

    @Option(
            names = "--connections",
            paramLabel = "N",
            defaultValue = "4",
            description = "To each server that allows several (default: ${DEFAULT-VALUE}).")
    private int connections;

    @Option(
            names = "--requests",
            paramLabel = "N",
            defaultValue = "32",
            description = "Under way at a time (default: ${DEFAULT-VALUE}).")
    private int requests;

    @Option(
            names = "--request-size",
            paramLabel = "SIZE",
            defaultValue = "256K",
            description = "A power of two from 4K to 32M (default: ${DEFAULT-VALUE}).")
    private ByteCount requestSize = new ByteCount(256 << 10);

    @Option(names = "--progress", description = "Show it where stderr is no terminal, too.")
    private boolean progress;

    @Mixin
    private Opening opening = new Opening();

    @Override
    public Integer call() throws IOException {
        Copy.Settings settings;
        ConnectOptions options;
        NbdUri from;
        NbdUri to;
        try {
            settings = new Copy.Settings(requests, (int) Math.min(requestSize.bytes(), Integer.MAX_VALUE));
            options = ConnectOptions.DEFAULT.withConnections(connections);
            from = NbdUri.looksLikeUri(source) ? NbdUri.parse(source) : null;
            to = NbdUri.looksLikeUri(destination) ? NbdUri.parse(destination) : null;
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), String.valueOf(e.getMessage()), e);
        }
        if (source.equals(destination)) {
            throw new ParameterException(spec.commandLine(), source + " cannot be copied to itself");
        }
        Copy.Place source = from == null
                ? new Copy.Place.File(Path.of(this.source))
                : new Copy.Place.Export(opening.open(from, options.withContexts(Extent.ALLOCATION)));
        Copy.Place destination;
        try {
            destination = to == null
                    ? new Copy.Place.File(Path.of(this.destination))
                    : new Copy.Place.Export(opening.open(to, options));
        } catch (IOException | RuntimeException e) {
            if (source instanceof Copy.Place.Export(var client)) {
                client.close();
            }
            throw e;
        }
        try (Copy copy = Copy.open(source, destination, settings)) {
            copy.run(watcher(copy.sizeBytes()));
        }
        return 0;
    }

    /** For people only, unless asked for. */
    @SuppressWarnings("SystemConsoleNull") // JDK 25 is back to null where there is no terminal
    private LongConsumer watcher(long sizeBytes) {
        boolean terminal = System.console() != null && System.console().isTerminal();
        return terminal || progress
                ? new ProgressBar(sizeBytes, spec.commandLine().getErr())
                : _ -> {};
    }
}
