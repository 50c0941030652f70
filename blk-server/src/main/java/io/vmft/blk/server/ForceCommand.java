package io.vmft.blk.server;

import io.vmft.blk.inspect.OfflineArbiter;
import io.vmft.config.ConfigException;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.ForceRequest;
import io.vmft.proto.blk.v1.ShowVmReply;
import java.io.BufferedReader;
import java.io.Console;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.Charset;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** The command line {@code blk-server arbiter force}. Exit status: 0 done, 1 refused or failed, 2 wrong arguments. */
@Command(
        name = "force",
        description = {
            "Sets by hand who may run a VM whose hosts are gone or disagree.",
            "Whatever runs it now is cut off from its disks at once, and its engines end it. Everything written stays."
        },
        sortOptions = false)
final class ForceCommand extends PlacedCommand {
    private static final Path HOST_NAME = Path.of("/proc/sys/kernel/hostname");

    @Parameters(index = "0", paramLabel = "VM", description = "its name")
    private String vm = "";

    @ArgGroup(multiplicity = "1")
    private Wish wish = new Wish();

    /** What is to become of it. */
    static final class Wish {
        @Option(names = "--close", required = true, description = "nobody runs it, and its volumes are free")
        private boolean close;

        @Option(
                names = "--solo",
                required = true,
                paramLabel = "HOST",
                description = "only this host may start it again, with ft-engine run")
        private @Nullable String host;
    }

    @Option(names = "--reason", required = true, paramLabel = "TEXT", description = "why; stays in its history")
    private String reason = "";

    @Option(
            names = "--confirm",
            paramLabel = "VM",
            description = "the VM's name again, for scripts; without it, it is to be typed on the terminal")
    private @Nullable String confirmed;

    @Override
    int run(ServerPlace server, PrintStream to) throws IOException, ConfigException {
        ShowVmReply shown = server.look(
                client -> client.show(vm), data -> OfflineArbiter.show(data, vm).shown());
        ArbiterCommand.require(shown, vm);
        if (confirmed == null) {
            ArbiterCommand.print(shown, to);
            to.println();
        }
        if (!vm.equals(confirmation(to))) {
            throw new IOException("that is not the VM's name; nothing was changed");
        }
        ForceRequest.Builder call = ForceRequest.newBuilder()
                .setVm(vm)
                .setGeneration(shown.getRecord().getGeneration())
                .setAction(wish.close ? ForceRequest.Action.CLOSE : ForceRequest.Action.SOLO)
                .setHost(Objects.requireNonNullElse(wish.host, ""))
                .setBy(operator())
                .setReason(reason);
        ArbiterReply reply = server.change(
                client -> client.force(call.build()),
                data -> OfflineArbiter.force(data, call.build(), System.currentTimeMillis())
                        .reply());
        if (reply.hasRefusal()) {
            throw new IOException(reply.getRefusal().getMessage());
        }
        ArbiterRecord record = reply.getRecord();
        to.println(record.getVm() + " is " + record.getMode() + ", generation " + record.getGeneration() + ": "
                + record.getReason());
        return 0;
    }

    // Since JDK 25 there is no console again where there is no terminal.
    @SuppressWarnings("SystemConsoleNull")
    private @Nullable String confirmation(PrintStream to) throws IOException {
        if (confirmed != null) {
            return confirmed;
        }
        Console console = System.console();
        if (console == null || !console.isTerminal()) {
            throw new IllegalArgumentException(
                    "there is no terminal to type the VM's name on again; give it with --confirm " + vm);
        }
        to.print("Type the VM's name to " + (wish.close ? "close it" : "give it to " + wish.host) + ": ");
        to.flush();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, Charset.defaultCharset()));
        String typed = in.readLine();
        return typed == null ? null : typed.strip();
    }

    /** Who is at this terminal: {@code USER@HOST}. */
    private static String operator() throws IOException {
        String user = Objects.requireNonNullElseGet(
                System.getenv("SUDO_USER"), () -> System.getProperty("user.name", "unknown"));
        return (user + "@" + Files.readString(HOST_NAME).strip()).replaceAll("[^\\x21-\\x7e]", "?");
    }
}
