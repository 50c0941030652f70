package io.vmft.engine;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.vmft.config.ConfigException;
import io.vmft.engine.config.VmConfig;
import io.vmft.engine.monitor.MonitorClient;
import io.vmft.engine.vm.VmPaths;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code vmft ft-engine}. Exit status: 0 as wanted, 1 failed, 2 wrong arguments. */
@Command(
        name = "vmft ft-engine",
        description = "Guards one VM: runs it, or stands by for it.",
        subcommands = {
            EngineMain.Run.class,
            EngineMain.Standby.class,
            EngineMain.Protect.class,
            EngineMain.Status.class,
            EngineMain.Epochs.class,
            EngineMain.Pause.class,
            EngineMain.Resume.class,
            EngineMain.Stop.class
        },
        synopsisSubcommandLabel = "COMMAND",
        mixinStandardHelpOptions = true)
public final class EngineMain {
    private static final int FAILED = 1;
    private static final int STOP_SECONDS = 20;

    private EngineMain() {}

    /** Runs one command. */
    public static void main(String[] args) {
        CommandLine line = new CommandLine(new EngineMain());
        line.setParameterExceptionHandler((e, arguments) -> {
            System.err.println("vmft ft-engine: " + e.getMessage() + " (see vmft help ft-engine)");
            return CommandLine.ExitCode.USAGE;
        });
        line.setExecutionExceptionHandler((e, command, parsed) -> {
            System.err.println("vmft ft-engine: " + (isForOperator(e) ? e.getMessage() : String.valueOf(e)));
            return FAILED;
        });
        int status = args.length == 0 ? usage(line) : line.execute(args);
        System.exit(status);
    }

    private static int usage(CommandLine line) {
        line.usage(System.err);
        return CommandLine.ExitCode.USAGE;
    }

    private static boolean isForOperator(Exception e) {
        return e instanceof EngineException || e instanceof ConfigException;
    }

    static final class Place {
        @Option(
                names = "--run-dir",
                paramLabel = "DIR",
                defaultValue = "/run/vmft",
                description = "Where engines keep sockets and locks (${DEFAULT-VALUE}).")
        Path runDir = Path.of("/run/vmft");
    }

    static final class Identity {
        @Option(
                names = "--host",
                paramLabel = "NAME",
                description = "This host's name for the arbiter (default: the system's).")
        @Nullable
        String host;

        String name() throws EngineException {
            if (host != null) {
                return host;
            }
            try {
                return Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
            } catch (IOException e) {
                throw new EngineException(
                        "cannot read this host's name (" + e.getMessage() + "); give it with --host", e);
            }
        }
    }

    @Command(name = "run", description = "Boots a VM and guards it; ends when the VM does.")
    static final class Run implements Callable<Integer> {
        @Parameters(paramLabel = "FILE", description = "The VM's description.")
        Path file = Path.of("");

        @Mixin
        Place place = new Place();

        @Mixin
        Identity identity = new Identity();

        @Option(
                names = "--fence",
                description = "Take the VM from the host that holds it. Only when that host is known to be dead.")
        boolean fence;

        @Option(
                names = "--verify-epochs",
                paramLabel = "N",
                description = "Compare the whole memory of both hosts at every N-th epoch; 0: never. Overrides "
                        + "protection.verify_epochs of FILE.")
        @Nullable
        Integer verifyEpochs;

        @Option(
                names = {"-blk-server", "--blk-server"},
                paramLabel = "HOST:PORT",
                description = "Overrides blk_server of FILE.")
        @Nullable
        String blkServer;

        @Override
        public Integer call() throws Exception {
            VmConfig config = load(file, blkServer);
            if (verifyEpochs != null) {
                if (verifyEpochs < 0) {
                    throw new EngineException("--verify-epochs " + verifyEpochs
                            + " is negative; give a number of epochs, or 0 for never");
                }
                config = config.verifyingEvery(verifyEpochs);
            }
            return guard(Engine.run(config, identity.name(), place.runDir, fence), "primary");
        }
    }

    @Command(name = "standby", description = "Waits for a primary and takes its VM over when it dies.")
    static final class Standby implements Callable<Integer> {
        @Parameters(paramLabel = "FILE", description = "The VM's description, the same as on the primary.")
        Path file = Path.of("");

        @Mixin
        Place place = new Place();

        @Mixin
        Identity identity = new Identity();

        @Option(
                names = {"-blk-server", "--blk-server"},
                paramLabel = "HOST:PORT",
                description = "Overrides blk_server of FILE.")
        @Nullable
        String blkServer;

        @Override
        public Integer call() throws Exception {
            return guard(Engine.standby(load(file, blkServer), identity.name(), place.runDir), "standby");
        }
    }

    /** Something asked of a running engine. */
    abstract static class Question implements Callable<Integer> {
        @Parameters(index = "0", paramLabel = "VM", description = "The VM's name.")
        String vm = "";

        @Mixin
        Place place = new Place();

        String ask(String line) throws EngineException {
            return MonitorClient.ask(VmPaths.monitorSocket(place.runDir, vm), vm, line);
        }

        int askAndPrint(String line) throws EngineException {
            System.out.println(ask(line));
            return 0;
        }
    }

    @Command(name = "protect", description = "Protects a running VM; returns when it is protected.")
    static final class Protect extends Question {
        @Parameters(
                index = "1",
                arity = "0..1",
                paramLabel = "HOST:PORT",
                description = "The standby (default: those of the VM's file).")
        String standby = "";

        @Override
        public Integer call() throws EngineException {
            return askAndPrint(("protect " + standby).strip());
        }
    }

    @Command(name = "status", description = "How a VM's engine on this host stands.")
    static final class Status extends Question {
        @Option(names = "--json", description = "As one JSON object.")
        boolean json;

        @Override
        public Integer call() throws EngineException, JsonProcessingException {
            if (json) {
                return askAndPrint("status");
            }
            JsonNode status = new ObjectMapper().readTree(ask("status"));
            status.properties().forEach(entry -> print(entry.getKey(), entry.getValue()));
            return 0;
        }

        private static void print(String name, JsonNode value) {
            if (name.equals("phases")) {
                value.properties().forEach(phase -> {
                    JsonNode millis = phase.getValue();
                    System.out.printf(
                            Locale.ROOT,
                            "%-18s p50 %.3f ms, p99 %.3f ms, max %.3f ms%n",
                            "  " + phase.getKey(),
                            millis.path("ms_p50").asDouble(),
                            millis.path("ms_p99").asDouble(),
                            millis.path("ms_max").asDouble());
                });
            } else if (value.isObject()) {
                System.out.printf(
                        "%-18s %s%n",
                        name,
                        value.properties().stream()
                                .map(part ->
                                        part.getKey() + " " + part.getValue().asText())
                                .collect(Collectors.joining(", ")));
            } else {
                System.out.printf("%-18s %s%n", name, value.isNull() ? "-" : value.asText());
            }
        }
    }

    @Command(name = "epochs", description = "The moments of the last epochs, in nanoseconds, as one JSON array.")
    static final class Epochs extends Question {
        @Parameters(
                index = "1",
                arity = "0..1",
                paramLabel = "AFTER",
                description = "Only epochs after this one (default: all that are kept).")
        String after = "";

        @Override
        public Integer call() throws EngineException {
            return askAndPrint(("epochs " + after).strip());
        }
    }

    @Command(name = "pause", description = "Stops the guest at a committed checkpoint; says at which epoch.")
    static final class Pause extends Question {
        @Override
        public Integer call() throws EngineException {
            return askAndPrint("pause");
        }
    }

    @Command(name = "resume", description = "Lets a paused guest go on.")
    static final class Resume extends Question {
        @Override
        public Integer call() throws EngineException {
            return askAndPrint("resume");
        }
    }

    @Command(name = "stop", description = "Ends a VM (as if its power went), or a standby's wait.")
    static final class Stop extends Question {
        @Override
        public Integer call() throws EngineException {
            return askAndPrint("stop");
        }
    }

    private static VmConfig load(Path file, @Nullable String blkServer) throws ConfigException {
        return VmConfig.load(file, blkServer == null ? java.util.Map.of() : java.util.Map.of("blk_server", blkServer));
    }

    /** Waits for the end, or for a signal. */
    private static int guard(Engine engine, String role) throws InterruptedException, ExecutionException {
        Thread onSignal = new Thread(() -> stopOnSignal(engine), "signal");
        Runtime.getRuntime().addShutdownHook(onSignal);
        EngineStatus status = engine.status().get();
        System.out.println("ready vm=" + status.vm() + " role=" + role + " host=" + status.host() + " engine_pid="
                + status.enginePid()
                + (status.listen() == null ? "" : " listen=" + status.listen()));
        EngineException failure = engine.ended().get();
        try {
            Runtime.getRuntime().removeShutdownHook(onSignal);
        } catch (IllegalStateException e) {
            // A signal came first and its thread ends the process.
            onSignal.join();
        }
        engine.close();
        if (failure != null) {
            System.err.println("vmft ft-engine: " + failure.getMessage());
            return FAILED;
        }
        return 0;
    }

    private static void stopOnSignal(Engine engine) {
        int status = 0;
        try {
            engine.stop("SIGTERM").get(STOP_SECONDS, TimeUnit.SECONDS);
            engine.close();
        } catch (InterruptedException | ExecutionException | TimeoutException e) {
            System.err.println("vmft ft-engine: could not end in order: " + e);
            status = FAILED;
        }
        // exit() is under way already; only halt() can still set the status.
        Runtime.getRuntime().halt(status);
    }
}
