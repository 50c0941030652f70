package io.vmft.nbd.client.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.NbdExport;
import io.vmft.nbd.client.NbdRefusedException;
import io.vmft.nbd.client.NbdUri;
import io.vmft.proto.nbd.Nbd;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(name = "info", description = "Says what an export is, without opening it.", mixinStandardHelpOptions = true)
final class InfoCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec = CommandSpec.create();

    @Parameters(paramLabel = "URI", description = "The export.")
    private @Nullable NbdUri uri;

    @Option(names = "--list", description = "List the names of the server's exports.")
    private boolean list;

    @Option(names = "--json", description = "For programs.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        NbdUri asked = Required.of(uri);
        if (list) {
            return ListCommand.print(asked, json, spec);
        }
        PrintWriter out = spec.commandLine().getOut();
        Map<String, Object> facts = facts(asked, describe(asked));
        if (json) {
            out.println(new ObjectMapper()
                    .enable(SerializationFeature.INDENT_OUTPUT)
                    .writeValueAsString(facts));
        } else {
            facts.forEach((name, value) -> {
                if (value instanceof Map<?, ?> features) {
                    features.forEach((feature, has) -> out.println(feature + ": " + has));
                } else {
                    out.println(name + ": " + value);
                }
            });
        }
        out.flush();
        return 0;
    }

    /** Servers that cannot describe an export still tell what it is when it is opened. */
    private static NbdExport describe(NbdUri uri) throws IOException {
        try {
            return NbdClient.describe(uri);
        } catch (NbdRefusedException e) {
            if (e.replyType() != Nbd.REP_ERR_UNSUP) {
                throw e;
            }
            try (NbdClient client = NbdClient.connect(uri)) {
                return client.export();
            }
        }
    }

    private static Map<String, Object> facts(NbdUri uri, NbdExport export) {
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("uri", uri.toString());
        facts.put("export", export.name());
        facts.put("size", export.sizeBytes());
        facts.put("description", export.description());
        facts.put("tls", export.encrypted());
        facts.put("headers", export.headers().name().toLowerCase(Locale.ROOT));
        facts.put("minimum block", export.minimumBlockBytes());
        facts.put("preferred block", export.preferredBlockBytes());
        facts.put("maximum payload", export.maximumPayloadBytes());
        facts.put("contexts", export.contexts());
        Map<String, Boolean> features = new LinkedHashMap<>();
        features.put("read-only", export.readOnly());
        features.put("flush", export.has(Nbd.FLAG_SEND_FLUSH));
        features.put("fua", export.has(Nbd.FLAG_SEND_FUA));
        features.put("trim", export.has(Nbd.FLAG_SEND_TRIM));
        features.put("write zeroes", export.has(Nbd.FLAG_SEND_WRITE_ZEROES));
        features.put("fast zero", export.has(Nbd.FLAG_SEND_FAST_ZERO));
        features.put("don't fragment", export.has(Nbd.FLAG_SEND_DF));
        features.put("several connections", export.has(Nbd.FLAG_CAN_MULTI_CONN));
        features.put("cache", export.has(Nbd.FLAG_SEND_CACHE));
        features.put("rotational", export.has(Nbd.FLAG_ROTATIONAL));
        facts.put("features", features);
        return facts;
    }
}
