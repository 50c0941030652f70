package io.vmft.nbd.client.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.NbdUri;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(name = "list", description = "Lists the names of a server's exports.", mixinStandardHelpOptions = true)
final class ListCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec = CommandSpec.create();

    @Parameters(paramLabel = "URI", description = "The server; an export in it does not matter.")
    private @Nullable NbdUri uri;

    @Option(names = "--json", description = "For programs.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        return print(Required.of(uri), json, spec);
    }

    static int print(NbdUri uri, boolean json, CommandSpec spec) throws IOException {
        PrintWriter out = spec.commandLine().getOut();
        List<String> names = NbdClient.list(uri);
        if (json) {
            out.println(new ObjectMapper().writeValueAsString(names));
        } else {
            names.forEach(out::println);
        }
        out.flush();
        return 0;
    }
}
