package io.vmft.nbd.client.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import io.vmft.nbd.client.BlockingNbd;
import io.vmft.nbd.client.ConnectOptions;
import io.vmft.nbd.client.Extent;
import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.NbdUri;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
        name = "map",
        description = "Prints the extents of an export: offset, length, flags, and what they mean.",
        mixinStandardHelpOptions = true)
final class MapCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec = CommandSpec.create();

    @Parameters(paramLabel = "URI", description = "The export.")
    private @Nullable NbdUri uri;

    @Option(
            names = "--context",
            paramLabel = "NAME",
            defaultValue = Extent.ALLOCATION,
            description = "What to ask about (default: ${DEFAULT-VALUE}).")
    private String context = Extent.ALLOCATION;

    @Option(names = "--json", description = "For programs.")
    private boolean json;

    @Mixin
    private Opening opening = new Opening();

    @Override
    public Integer call() throws IOException {
        NbdUri asked = Required.of(uri);
        PrintWriter out = spec.commandLine().getOut();
        try (NbdClient client = opening.open(asked, ConnectOptions.DEFAULT.withContexts(context))) {
            if (!client.export().contexts().contains(context)) {
                throw new IOException(asked + ": the server has no metadata context " + context
                        + " for this export; vmft nbd info lists those it has");
            }
            List<Extent> extents =
                    new BlockingNbd(client).extents(context, 0, client.export().sizeBytes());
            if (json) {
                out.println(new ObjectMapper()
                        .enable(SerializationFeature.INDENT_OUTPUT)
                        .writeValueAsString(
                                extents.stream().map(this::forPrograms).toList()));
            } else {
                extents.forEach(extent -> out.printf(
                        "%12d %12d %4d  %s%n", extent.offset(), extent.lengthBytes(), extent.flags(), meaning(extent)));
            }
        }
        out.flush();
        return 0;
    }

    private Map<String, Object> forPrograms(Extent extent) {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("offset", extent.offset());
        fields.put("length", extent.lengthBytes());
        fields.put("flags", extent.flags());
        if (!meaning(extent).isEmpty()) {
            fields.put("description", meaning(extent));
        }
        return fields;
    }

    private String meaning(Extent extent) {
        if (!context.equals(Extent.ALLOCATION)) {
            return "";
        }
        if (extent.hole()) {
            return extent.zero() ? "hole,zero" : "hole";
        }
        return extent.zero() ? "zero" : "data";
    }
}
