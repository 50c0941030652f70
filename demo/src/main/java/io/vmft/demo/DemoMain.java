package io.vmft.demo;

import java.io.Console;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code vmft demo}. Exit status: 0 passed, 1 failed, 2 wrong arguments. */
@Command(
        name = "vmft demo",
        description = "Two hosts and a client on this machine; the primary is killed, and nothing is lost.",
        mixinStandardHelpOptions = true)
public final class DemoMain implements Callable<Integer> {
    private static final int MAX_KILLS = 1000;

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the random moments (default: a new one).")
    @Nullable
    Long seed;

    @Option(
            names = "--kills",
            paramLabel = "N",
            defaultValue = "1",
            description = "How often the primary is killed (${DEFAULT-VALUE}).")
    int kills = 1;

    @Option(
            names = "--qemu",
            paramLabel = "PATH",
            defaultValue = "qemu-system-x86_64",
            description = "The QEMU to use (${DEFAULT-VALUE}).")
    String qemu = "qemu-system-x86_64";

    @Option(
            names = "--accel",
            paramLabel = "auto|kvm|tcg",
            defaultValue = "auto",
            description = "How QEMU runs the guest (${DEFAULT-VALUE}).")
    String accelerator = "auto";

    @Option(
            names = "--virtio",
            paramLabel = "transitional|legacy",
            defaultValue = "transitional",
            description = "The interface of the guest's disk and network card (${DEFAULT-VALUE}).")
    String virtio = "transitional";

    @Option(names = "--keep", description = "Leave everything running and say how to look at it.")
    boolean keep;

    @Option(names = "--end", paramLabel = "ID", description = "End a run that was kept.")
    @Nullable
    String end;

    private volatile boolean interrupted;

    private DemoMain() {}

    /** Runs the demo. */
    public static void main(String[] args) {
        CommandLine line = new CommandLine(new DemoMain());
        line.setParameterExceptionHandler((e, arguments) -> {
            System.err.println("vmft demo: " + e.getMessage() + " (see vmft help demo)");
            return CommandLine.ExitCode.USAGE;
        });
        line.setExecutionExceptionHandler((e, command, parsed) -> {
            System.err.println("vmft demo: " + (e instanceof DemoException ? e.getMessage() : String.valueOf(e)));
            return CommandLine.ExitCode.SOFTWARE;
        });
        System.exit(line.execute(args));
    }

    @Override
    public Integer call() throws DemoException, InterruptedException {
        checkMachine();
        if (end != null) {
            Optional<Workplace> kept = Workplace.find(end);
            if (kept.isEmpty()) {
                throw new DemoException("there is no run " + end + " to end");
            }
            kept.get().remove();
            return CommandLine.ExitCode.OK;
        }
        DemoOptions options = options();
        Workplace.sweep();
        Workplace place = Workplace.create();
        Thread onSignal = new Thread(() -> onSignal(place), "clean-up");
        Runtime.getRuntime().addShutdownHook(onSignal);
        System.out.println("demo " + place.id() + ", seed " + options.seed());
        DemoReport report;
        try {
            report = new Demo(options, place, System.out, isOnTerminal()).run();
        } catch (DemoException | RuntimeException e) {
            if (interrupted) {
                // What broke was broken by the clean-up, which also ends this process.
                return CommandLine.ExitCode.SOFTWARE;
            }
            saveLogs(place, options);
            place.remove();
            throw e;
        }
        System.out.println(report.table());
        System.out.println("report: " + report.write(options.target()));
        if (!report.pass()) {
            saveLogs(place, options);
        }
        if (keep) {
            place.keep();
            Runtime.getRuntime().removeShutdownHook(onSignal);
            System.out.println(howToLook(place));
        } else {
            place.remove();
        }
        return report.pass() ? CommandLine.ExitCode.OK : CommandLine.ExitCode.SOFTWARE;
    }

    private static void saveLogs(Workplace place, DemoOptions options) throws InterruptedException {
        try {
            System.err.println("logs: " + place.saveLogs(options.target().resolve("demo-logs-" + place.id())));
        } catch (DemoException e) {
            System.err.println("the logs could not be saved: " + e.getMessage());
        }
    }

    private DemoOptions options() throws DemoException {
        if (kills < 1 || kills > MAX_KILLS) {
            throw new DemoException("--kills " + kills + " is not between 1 and " + MAX_KILLS);
        }
        if (!List.of("auto", "kvm", "tcg").contains(accelerator)) {
            throw new DemoException("--accel " + accelerator + " is none of auto, kvm, tcg");
        }
        if (!List.of("transitional", "legacy").contains(virtio)) {
            throw new DemoException("--virtio " + virtio + " is neither transitional nor legacy");
        }
        Path home = Path.of(System.getProperty("vmft.home", "")).toAbsolutePath();
        Path guest = home.resolve("demo/target/guest");
        for (String part : List.of("vmlinuz", "initrd", "disk.img")) {
            if (!Files.isReadable(guest.resolve(part))) {
                throw new DemoException(guest.resolve(part) + " is missing; ./vmft demo makes it");
            }
        }
        return new DemoOptions(
                seed != null ? seed : ThreadLocalRandom.current().nextLong(1, 1_000_000),
                kills,
                qemu.contains("/") ? Path.of(qemu).toAbsolutePath().toString() : qemu,
                accelerator,
                virtio,
                keep,
                guest,
                home.resolve("target"));
    }

    // From JDK 25 on console() is null again where there is no terminal.
    @SuppressWarnings("SystemConsoleNull")
    private static boolean isOnTerminal() {
        Console console = System.console();
        return console != null && console.isTerminal();
    }

    private static void checkMachine() throws DemoException {
        if (!System.getProperty("user.name").equals("root")) {
            throw new DemoException("network namespaces need root: sudo ./vmft demo");
        }
        if (!Files.isWritable(Path.of("/dev/net/tun"))) {
            throw new DemoException("/dev/net/tun cannot be opened; load it with: modprobe tun");
        }
    }

    /** Runs at every end of the process; after an orderly one there is nothing left to do. */
    private void onSignal(Workplace place) {
        interrupted = true;
        try {
            if (place.remove()) {
                System.err.println("vmft demo: interrupted; everything it made is removed");
            }
        } catch (DemoException | InterruptedException e) {
            System.err.println("vmft demo: " + e.getMessage() + "; try ./vmft demo --end " + place.id());
        }
    }

    private static String howToLook(Workplace place) {
        Lab lab = new Lab(place.id());
        return """
                It goes on running:
                  ./vmft ft-engine status %1$s --run-dir %2$s/a      (or %2$s/b)
                  ip netns exec %3$s busybox nc %4$s %5$d   then: APPEND text, DUMP, SHUTDOWN
                  logs, the guest's console and the disk: %2$s
                  ./vmft demo --end %6$s                             ends it and removes everything
                """.formatted(
                        Demo.VM, place.folder(), lab.namespace("c"), Lab.GUEST_ADDRESS, LedgerClient.PORT, place.id());
    }
}
