package io.vmft.blk.server;

import io.vmft.config.ConfigException;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Callable;
import picocli.CommandLine.Mixin;

/** A command for a server that runs or one that does not. Exit status: what {@link #run} says, 1 it failed, 2 wrong arguments. */
abstract class PlacedCommand implements Callable<Integer> {
    @Mixin
    private ServerPlace place = new ServerPlace();

    private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    /** Does it; throws {@link IllegalArgumentException} for wrong arguments. */
    abstract int run(ServerPlace server, PrintStream to) throws IOException, ConfigException;

    @Override
    public final Integer call() throws IOException {
        try {
            return run(place, out);
        } catch (ConfigException | IllegalArgumentException e) {
            return complain(e, 2);
        }
    }

    /** One line for the operator; returns {@code status}. */
    static int complain(Exception e, int status) {
        System.err.println("blk-server: " + BlkServerMain.firstLine(e));
        return status;
    }
}
