package io.vmft.blk.server;

import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.nbd.ListenAddress;
import io.vmft.blk.nbd.NbdLimits;
import io.vmft.blk.tls.TlsSettings;
import io.vmft.config.ConfigException;
import io.vmft.config.InvalidValueException;
import io.vmft.config.log.StderrLogging;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.function.Function;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.LoggerFactory;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.UnmatchedArgumentException;

/** The command line {@code blk-server}. Exit status: 0 ended by a signal, 1 could not start, 2 wrong arguments. */
@Command(
        name = "blk-server",
        description = "Serves disks over NBD and keeps a protected VM's writes by epoch.",
        subcommands = {
            GrowCommand.class,
            CheckCommand.class,
            JournalCommand.class,
            ExportCommand.class,
            ArbiterCommand.class
        },
        sortOptions = false)
public final class BlkServerMain implements Callable<Integer> {
    /** Less than what a service manager waits before it kills. */
    private static final Duration SETTLE_LIMIT = Duration.ofSeconds(60);

    private static final String POOL_LIMIT = "io.netty.maxDirectMemory";
    private static final long POOL_SURPLUS_BYTES = 64 << 20;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description =
                    "a YAML file of settings; the options below win over what it says, and add volumes to its own")
    private @Nullable Path configFile;

    @Option(
            names = "--data",
            paramLabel = "DIR",
            description = "where the journal and the arbiter's records are; created if missing")
    private @Nullable Path data;

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
            paramLabel = "HOST:PORT",
            description = "where engines connect; port 0 finds a free one")
    private @Nullable String control;

    @Option(
            names = "--volume",
            paramLabel = "NAME=IMAGE[,create=20G][,readonly][,exclusive][,allow=CLIENT]",
            description = "a raw image or block device to serve; with create= it is made if missing; repeatable")
    private List<String> volumes = new ArrayList<>();

    @Option(
            names = "--tls-certificates",
            paramLabel = "DIR",
            description = "speak TLS with the ca-cert.pem, server-cert.pem and server-key.pem in this folder")
    private @Nullable Path tlsCertificates;

    @Option(
            names = "--tls",
            paramLabel = "off|offered|required",
            description = "whether NBD clients may, or must, use TLS (required where there are certificates, else off)")
    private @Nullable String tls;

    @Option(names = "--tls-verify-peer", description = "admit only clients that show a certificate of that authority")
    private boolean tlsVerifyPeer;

    @Option(names = "--journal-limit", paramLabel = "SIZE", description = "journal above which writers wait (1G)")
    private @Nullable String journalLimit;

    @Option(names = "--journal-segment", paramLabel = "SIZE", description = "size of the journal's files (64M)")
    private @Nullable String journalSegment;

    @Option(
            names = "--snapshot-limit",
            paramLabel = "SIZE",
            description = "what committed views (VOLUME@committed) may keep of the past (4G)")
    private @Nullable String snapshotLimit;

    @Option(names = "--connections", paramLabel = "N", description = "NBD connections at a time (100)")
    private @Nullable Integer connections;

    @Option(
            names = "--memory",
            paramLabel = "SIZE",
            description = "memory for requests and replies of all connections, at least 1M each (128M)")
    private @Nullable String memory;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "show this")
    @SuppressWarnings("UnusedVariable") // picocli reads it
    private boolean help;

    private BlkServerMain() {}

    public static void main(String[] arguments) {
        System.setProperty(StderrLogging.EXCEPTIONS, "short");
        System.exit(commandLine().execute(arguments));
    }

    static CommandLine commandLine() {
        return new CommandLine(new BlkServerMain())
                .setParameterExceptionHandler((e, _) -> {
                    System.err.println("blk-server: " + complaint(e) + "; see "
                            + e.getCommandLine().getCommandSpec().qualifiedName() + " --help");
                    return 2;
                })
                .setExecutionExceptionHandler((e, _, _) -> {
                    System.err.println("blk-server: " + firstLine(e));
                    if (!(e instanceof IOException)) {
                        LoggerFactory.getLogger(BlkServerMain.class).error("this is a bug", e);
                    }
                    return 1;
                });
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        BlkServerConfig config;
        try {
            config = config();
        } catch (ConfigException e) {
            System.err.println("blk-server: " + firstLine(e));
            return 2;
        } catch (IllegalArgumentException e) {
            System.err.println("blk-server: " + firstLine(e) + "; see blk-server --help");
            return 2;
        }
        boundPool(config.nbdLimits());
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

    private BlkServerConfig config() throws ConfigException {
        BlkServerConfig.Builder settings = BlkServerConfig.builder();
        Map<String, String> places = configFile == null ? Map.of() : ConfigFile.read(configFile, settings);
        if (data != null) {
            settings.data(data);
        }
        if (control != null) {
            settings.control(option("--control", control, ConfigFile::controlAddress));
        }
        List<ListenAddress> addresses = Stream.concat(listen.stream(), cujuListen.stream())
                .map(text -> option("--listen", text, ListenAddress::parse))
                .toList();
        if (!addresses.isEmpty()) {
            settings.listen(addresses);
        }
        settings.nbdLimits(limits(settings.nbdLimits()));
        settings.tls(tls(settings.tls()));
        JournalSettings journal = settings.journal();
        long limitBytes =
                journalLimit == null ? journal.limitBytes() : option("--journal-limit", journalLimit, VolumeSpec::size);
        long segmentBytes = journalSegment == null
                ? journal.segmentBytes()
                : option("--journal-segment", journalSegment, VolumeSpec::size);
        settings.journal(journal.withSizes(limitBytes, segmentBytes));
        if (snapshotLimit != null) {
            settings.snapshotLimit(option("--snapshot-limit", snapshotLimit, VolumeSpec::size));
        }
        settings.volumes(allVolumes(settings.volumes(), places));
        return settings.build();
    }

    private NbdLimits limits(NbdLimits declared) {
        int most = connections == null ? declared.connections() : connections;
        long bytes = memory == null ? declared.memoryBytes() : option("--memory", memory, VolumeSpec::size);
        return declared.withConnections(most, bytes);
    }

    /** Netty's pool holds what the limits let connections have, and what is left over in its pieces. */
    private static void boundPool(NbdLimits limits) {
        if (System.getProperty(POOL_LIMIT) == null) {
            System.setProperty(POOL_LIMIT, Long.toString(limits.memoryBytes() + POOL_SURPLUS_BYTES));
        }
    }

    private @Nullable TlsSettings tls(@Nullable TlsSettings declared) {
        Path certificates = tlsCertificates != null || declared == null ? tlsCertificates : declared.certificates();
        String mode = Objects.requireNonNullElseGet(
                tls,
                () -> certificates == null ? "off" : declared == null || declared.required() ? "required" : "offered");
        return switch (mode) {
            case "off" -> {
                if (tlsVerifyPeer) {
                    throw new IllegalArgumentException(
                            "--tls-verify-peer means nothing without TLS; add --tls-certificates");
                }
                yield null;
            }
            case "offered", "required" -> {
                if (certificates == null) {
                    throw new IllegalArgumentException(
                            "--tls " + mode + " needs certificates; add --tls-certificates DIR");
                }
                boolean verifyPeer = tlsVerifyPeer || (declared != null && declared.verifyPeer());
                yield new TlsSettings(certificates, mode.equals("required"), verifyPeer);
            }
            default -> throw new IllegalArgumentException("--tls " + mode + " is not off, offered or required");
        };
    }

    /** The file's volumes and those of the command line, which may not be the same ones: which would be meant? */
    private List<VolumeSpec> allVolumes(List<VolumeSpec> declared, Map<String, String> places) {
        List<VolumeSpec> all = new ArrayList<>(declared);
        for (String text : volumes) {
            VolumeSpec volume = option("--volume", text, VolumeSpec::parse);
            String place = places.get(volume.name());
            if (place != null) {
                throw new IllegalArgumentException("--volume " + text + ": " + place + " declares volume "
                        + volume.name() + " too; leave one out");
            }
            all.add(volume);
        }
        return all;
    }

    private static <T> T option(String option, String text, Function<String, T> parser) {
        try {
            return parser.apply(text);
        } catch (InvalidValueException e) {
            throw new IllegalArgumentException(option + " " + text + ": " + e.complaint(), e);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(option + " " + text + ": " + firstLine(e), e);
        }
    }

    /** {@code ready control=HOST:PORT URI…}: the listening addresses, then every export on each of them. */
    private static String readyLine(BlkServer server, BlkServerConfig config) {
        StringBuilder line =
                new StringBuilder("ready control=").append(BlkServer.announced(config, server.controlAddress()));
        for (ListenAddress address : server.nbdAddresses()) {
            line.append(' ').append(uri(config, address, ""));
        }
        for (ListenAddress address : server.nbdAddresses()) {
            for (String export : server.exports().names(ClientIdentity.UNKNOWN)) {
                line.append(' ').append(uri(config, address, export));
            }
        }
        return line.toString();
    }

    private static String uri(BlkServerConfig config, ListenAddress address, String export) {
        TlsSettings tls = config.tls();
        return tls != null && tls.required() ? address.tlsUri(export) : address.uri(export);
    }

    private static String complaint(ParameterException e) {
        CommandLine command = e.getCommandLine();
        String commands = String.join(", ", command.getSubcommands().keySet());
        if (e instanceof UnmatchedArgumentException unmatched && !unmatched.isUnknownOption()) {
            return "'" + unmatched.getUnmatched().getFirst() + "' is not understood"
                    + (commands.isEmpty() ? "" : ", the commands are " + commands);
        }
        if (!(command.getCommand() instanceof Callable)) {
            return command.getCommandName() + " needs a command, one of " + commands;
        }
        return firstLine(e).replaceFirst("^Error: ", "");
    }

    static String firstLine(Exception e) {
        String message = e.getMessage();
        return message == null ? e.toString() : message.lines().findFirst().orElse(e.toString());
    }
}
