package io.vmft.nbd.client.cli;

import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.NbdExport;
import io.vmft.nbd.client.NbdUri;
import io.vmft.nbd.client.Waiting;
import io.vmft.nbd.client.session.Discovery;
import java.io.PrintWriter;
import java.time.LocalTime;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
        name = "watch",
        description =
                "Follows a volume over its servers and prints a line for each change, until it is interrupted. It only"
                        + " asks: it opens nothing and disturbs nobody.",
        mixinStandardHelpOptions = true)
final class WatchCommand implements Callable<Integer> {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("HH:mm:ss.SSS");
    private static final long ANSWER_MILLIS = 2000;

    @Spec
    private CommandSpec spec = CommandSpec.create();

    @Parameters(arity = "1..*", paramLabel = "URI", description = "Where the volume may be served.")
    private List<NbdUri> uris = new ArrayList<>();

    @Option(
            names = "--interval",
            paramLabel = "MILLIS",
            defaultValue = "200",
            description = "How often to ask; a pause is known as exactly as that (default: ${DEFAULT-VALUE}).")
    private int intervalMillis;

    @Option(names = "--seconds", paramLabel = "N", description = "End by itself (default: never).")
    private int seconds;

    @Override
    public Integer call() throws InterruptedException {
        if (intervalMillis < 10 || seconds < 0) {
            throw new ParameterException(
                    spec.commandLine(), "ask every 10 ms at most, for 0 seconds (for ever) or more");
        }
        List<NbdUri> endpoints = uris.stream()
                .flatMap(uri -> uri.addresses().stream().map(uri::at))
                .toList();
        PrintWriter out = spec.commandLine().getOut();
        Sighting sighting = new Sighting();
        long start = System.nanoTime();
        while (seconds == 0 || System.nanoTime() - start < TimeUnit.SECONDS.toNanos(seconds)) {
            long asked = System.nanoTime();
            sighting.next(look(endpoints), asked)
                    .forEach(line -> out.println(TIME.format(LocalTime.now(ZoneId.systemDefault())) + "  " + line));
            out.flush();
            long rest = TimeUnit.MILLISECONDS.toNanos(intervalMillis) - (System.nanoTime() - asked);
            if (rest > 0) {
                TimeUnit.NANOSECONDS.sleep(rest);
            }
        }
        return 0;
    }

    /** Asks all servers at once; the newest generation counts, of equals the first. */
    private static Sighting.View look(List<NbdUri> endpoints) {
        List<CompletableFuture<Sighting.View>> answers =
                endpoints.stream().map(WatchCommand::look).toList();
        Sighting.View best = answers.getFirst().join();
        for (CompletableFuture<Sighting.View> answer : answers) {
            Sighting.View view = answer.join();
            if (view.isBetterThan(best)) {
                best = view;
            }
        }
        return best;
    }

    private static CompletableFuture<Sighting.View> look(NbdUri endpoint) {
        return Discovery.find(endpoint)
                .thenCompose(NbdClient::describeAsync)
                .<Sighting.View>thenApply(export -> new Sighting.Served(
                        endpoint.addresses().getFirst().toString(),
                        export.name(),
                        NbdExport.generation(export.name()),
                        export.sizeBytes()))
                .completeOnTimeout(
                        new Sighting.Away(endpoint + ": no answer within " + ANSWER_MILLIS + " ms"),
                        ANSWER_MILLIS,
                        TimeUnit.MILLISECONDS)
                .exceptionally(failure -> new Sighting.Away(
                        endpoint + ": " + Waiting.cause(failure).getMessage()));
    }
}
