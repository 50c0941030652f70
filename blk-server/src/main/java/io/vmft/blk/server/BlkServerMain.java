package io.vmft.blk.server;

import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.nbd.ListenAddress;
import io.vmft.blk.nbd.NbdLimits;
import java.io.IOException;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;
import org.slf4j.LoggerFactory;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The command line {@code blk-server}. Exit status: 0 ended by a signal, 1 could not start, 2 wrong arguments. */
@Command(
        name = "blk-server",
        description = "Serves disks over NBD and keeps a protected VM's writes by epoch.",
        sortOptions = false)
public final class BlkServerMain implements Callable<Integer> {
    /** Less than what a service manager waits before it kills. */
    private static final Duration SETTLE_LIMIT = Duration.ofSeconds(60);

    @Option(
            names = "--data",
            required = true,
            paramLabel = "DIR",
            description = "where the journal and the arbiter's records are; created if missing")
    private Path data = Path.of("");

    @Option(
            names = "--listen",
            paramLabel = "ADDRESS",
            description =
                    "where to serve NBD: HOST:PORT, :PORT, [IPV6]:PORT or unix:PATH[,mode=0660]; repeatable, port 0"
                            + " finds a free one")
    private List<String> listen = new ArrayList<>();

    @Option(
            names = {"-blk-server-listen", "--blk-server-listen"},
            hidden = true,
            paramLabel = "ADDRESS",
            description = "Cuju's name for --listen")
    private List<String> cujuListen = new ArrayList<>();

    @Option(
            names = "--control",
            required = true,
            paramLabel = "HOST:PORT",
            description = "where engines connect; port 0 finds a free one")
    private String control = "";

    @Option(
            names = "--volume",
            required = true,
            paramLabel = "NAME=IMAGE[,size=20G][,readonly]",
            description = "a raw image to serve; with size= it is created if missing; repeatable")
    private List<String> volumes = new ArrayList<>();

    @Option(
            names = "--journal-limit",
            paramLabel = "SIZE",
            defaultValue = "1G",
            description = "journal above which writers wait (default ${DEFAULT-VALUE})")
    private String journalLimit = "";

    @Option(
            names = "--journal-segment",
            paramLabel = "SIZE",
            defaultValue = "64M",
            description = "size of the journal's files (default ${DEFAULT-VALUE})")
    private String journalSegment = "";

    @Option(
            names = "--connections",
            paramLabel = "N",
            defaultValue = "100",
            description = "NBD connections at a time (default ${DEFAULT-VALUE})")
    private int connections;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "show this")
    @SuppressWarnings("UnusedVariable") // picocli reads it
    private boolean help;

    private BlkServerMain() {}

    public static void main(String[] arguments) {
        if (System.getProperty("logback.configurationFile") == null) {
            System.setProperty("logback.configurationFile", "io/vmft/blk/server/logback.xml");
        }
        BlkServerMain main = new BlkServerMain();
        CommandLine line = new CommandLine(main)
                .setParameterExceptionHandler((e, _) -> {
                    System.err.println("blk-server: " + firstLine(e) + "; see blk-server --help");
                    return 2;
                })
                .setExecutionExceptionHandler((e, _, _) -> {
                    System.err.println("blk-server: " + firstLine(e));
                    if (!(e instanceof IOException)) {
                        LoggerFactory.getLogger(BlkServerMain.class).error("this is a bug", e);
                    }
                    return 1;
                });
        System.exit(line.execute(arguments));
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        BlkServerConfig config;
        try {
            config = config();
        } catch (IllegalArgumentException e) {
            System.err.println("blk-server: " + firstLine(e) + "; see blk-server --help");
            return 2;
        }
        BlkServer server = BlkServer.start(config);
        CountDownLatch closed = new CountDownLatch(1);
        // A JVM that ends by a signal has its own exit status; a clean end is 0.
        Thread hook = Thread.ofPlatform().name("shutdown").unstarted(() -> {
            server.settleAndClose(SETTLE_LIMIT);
            closed.countDown();
            Runtime.getRuntime().halt(0);
        });
        Runtime.getRuntime().addShutdownHook(hook);
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        out.println(readyLine(server, config));
        closed.await();
        return 0;
    }

    private BlkServerConfig config() {
        return BlkServerConfig.builder(data, controlAddress(control))
                .listen(Stream.concat(listen.stream(), cujuListen.stream())
                        .map(ListenAddress::parse)
                        .toList())
                .volumes(volumes.stream().map(VolumeSpec::parse).toList())
                .journal(JournalSettings.DEFAULT.withSizes(
                        VolumeSpec.bytes(journalLimit), VolumeSpec.bytes(journalSegment)))
                .nbdLimits(NbdLimits.DEFAULT.withConnections(connections))
                .build();
    }

    private static InetSocketAddress controlAddress(String text) {
        if (!(ListenAddress.parse(text) instanceof ListenAddress.Tcp(String host, int port))) {
            throw new IllegalArgumentException("--control " + text + " is not HOST:PORT");
        }
        InetSocketAddress address = host.isEmpty() ? new InetSocketAddress(port) : new InetSocketAddress(host, port);
        if (address.isUnresolved()) {
            throw new IllegalArgumentException("--control " + text + ": the host is not known");
        }
        return address;
    }

    /** {@code ready control=HOST:PORT URI…}: the listening addresses, then every export on each of them. */
    private static String readyLine(BlkServer server, BlkServerConfig config) {
        InetSocketAddress control = server.controlAddress();
        ListenAddress.Tcp shown = new ListenAddress.Tcp(controlHost(config, control), control.getPort());
        StringBuilder line = new StringBuilder("ready control=").append(shown);
        for (ListenAddress address : server.nbdAddresses()) {
            line.append(' ').append(address.uri(""));
        }
        for (ListenAddress address : server.nbdAddresses()) {
            for (String export : server.exports().names(ClientIdentity.UNKNOWN)) {
                line.append(' ').append(address.uri(export));
            }
        }
        return line.toString();
    }

    private static String controlHost(BlkServerConfig config, InetSocketAddress bound) {
        return config.control().getAddress().isAnyLocalAddress()
                ? "localhost"
                : bound.getAddress().getHostAddress();
    }

    private static String firstLine(Exception e) {
        String message = e.getMessage();
        return message == null ? e.toString() : message.lines().findFirst().orElse(e.toString());
    }
}
