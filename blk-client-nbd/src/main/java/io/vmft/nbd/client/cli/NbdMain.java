package io.vmft.nbd.client.cli;

import io.vmft.nbd.client.NbdUri;
import io.vmft.nbd.client.Transport;
import java.io.PrintWriter;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.RunLast;

/** The command line {@code vmft nbd …}. Ends with 0, 1 if it failed, or 2 if it was called wrongly; failures are one line. */
@Command(
        name = "nbd",
        description = "Looks at, reads, writes, copies and follows exports of any NBD server.",
        subcommands = {
            InfoCommand.class,
            ListCommand.class,
            MapCommand.class,
            CopyCommand.class,
            ReadCommand.class,
            WriteCommand.class,
            LoadCommand.class,
            WatchCommand.class
        },
        synopsisSubcommandLabel = "COMMAND",
        footer = {
            "",
            "URI: nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH; nbds for TLS, with ?tls-certificates=DIR.",
            "nbd://A,B/EXPORT are ways to one volume: the command follows it from one to the other."
        },
        mixinStandardHelpOptions = true)
public final class NbdMain {
    private NbdMain() {}

    public static void main(String[] arguments) {
        System.exit(commandLine().setExecutionStrategy(NbdMain::runOnce).execute(arguments));
    }

    /** Ends the loops after it: a JVM that exits waits 0.3 s for threads that wait for sockets. */
    private static int runOnce(ParseResult parsed) {
        Integer helped = CommandLine.executeHelpRequest(parsed);
        if (helped != null) {
            return helped;
        }
        try {
            return new RunLast().execute(parsed);
        } finally {
            Transport.LOOPS.shutdownGracefully(0, 0, TimeUnit.SECONDS).awaitUninterruptibly();
        }
    }

    static CommandLine commandLine() {
        return new CommandLine(new NbdMain())
                .registerConverter(NbdUri.class, NbdUri::parse)
                .registerConverter(ByteCount.class, ByteCount::parse)
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setParameterExceptionHandler((wrong, _) -> {
                    PrintWriter err = wrong.getCommandLine().getErr();
                    err.println("vmft nbd: " + oneLine(wrong) + "; see vmft "
                            + wrong.getCommandLine().getCommandSpec().qualifiedName() + " --help");
                    err.flush();
                    return 2;
                })
                .setExecutionExceptionHandler((failure, command, _) -> {
                    command.getErr().println("vmft nbd: " + oneLine(failure));
                    command.getErr().flush();
                    return 1;
                });
    }

    private static String oneLine(Exception failure) {
        String message = failure.getMessage();
        return switch (failure) {
            case NoSuchFileException _ -> message + ": no such file";
            case AccessDeniedException _ -> message + ": permission denied";
            default ->
                message == null
                        ? failure.toString()
                        : message.lines().findFirst().orElse("");
        };
    }
}
