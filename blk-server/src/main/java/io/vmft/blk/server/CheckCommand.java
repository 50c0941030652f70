package io.vmft.blk.server;

import io.vmft.blk.inspect.Findings;
import io.vmft.blk.inspect.OfflineCheck;
import io.vmft.config.ConfigException;
import io.vmft.proto.blk.v1.Finding;
import io.vmft.proto.blk.v1.Finding.Weight;
import java.io.IOException;
import java.io.PrintStream;
import java.util.EnumMap;
import java.util.Map;
import java.util.function.Consumer;
import picocli.CommandLine.Command;

/** The command line {@code blk-server check}. Exit status: 0 consistent, 1 inconsistent, 2 cannot tell, or wrong arguments. */
@Command(
        name = "check",
        description = {
            "Says whether journal, images and arbiter are consistent, and changes nothing.",
            "Exit status: 0 they are, 1 they are not, 2 that cannot be told."
        },
        sortOptions = false)
final class CheckCommand extends PlacedCommand {
    private static final Map<Weight, String> WORDS = new EnumMap<>(
            Map.of(Weight.NOTE, "note", Weight.UNKNOWN, "cannot tell", Weight.INCONSISTENT, "inconsistent"));

    @Override
    int run(ServerPlace server, PrintStream to) throws ConfigException {
        Map<Weight, Integer> counts = new EnumMap<>(Weight.class);
        Consumer<Finding> tell = finding -> {
            counts.merge(finding.getWeight(), 1, Integer::sum);
            to.println(line(finding));
        };
        String lookedAt;
        try {
            lookedAt = server.look(client -> client.check(tell), data -> OfflineCheck.run(data, new Findings(tell)));
        } catch (IOException e) {
            return complain(e, 2);
        }
        int wrong = counts.getOrDefault(Weight.INCONSISTENT, 0);
        int unknown = counts.getOrDefault(Weight.UNKNOWN, 0);
        to.println(
                (wrong > 0 ? "INCONSISTENT" : unknown > 0 ? "CANNOT TELL" : "consistent") + ": looked at " + lookedAt);
        return wrong > 0 ? 1 : unknown > 0 ? 2 : 0;
    }

    private static String line(Finding finding) {
        return WORDS.getOrDefault(finding.getWeight(), "?") + ": " + finding.getMessage();
    }
}
