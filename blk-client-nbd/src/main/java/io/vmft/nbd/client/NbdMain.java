package io.vmft.nbd.client;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.proto.nbd.Nbd;
import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.nio.file.NoSuchFileException;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.LongConsumer;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** The command line {@code vmft nbd …}. Ends with 0, 1 if it failed, or 2 if it was called wrongly; failures are one line. */
@Command(
        name = "nbd",
        description = "Looks at, reads, writes and copies exports of any NBD server.",
        subcommands = {NbdMain.Describe.class, NbdMain.Read.class, NbdMain.Write.class, NbdMain.CopyCommand.class},
        mixinStandardHelpOptions = true)
public final class NbdMain {
    private static final int CHUNK_BYTES = 1 << 20;

    private NbdMain() {}

    public static void main(String[] arguments) {
        System.exit(commandLine().execute(arguments));
    }

    static CommandLine commandLine() {
        return new CommandLine(new NbdMain())
                .registerConverter(NbdUri.class, NbdUri::parse)
                .registerConverter(Bytes.class, Bytes::parse)
                .setExecutionExceptionHandler((failure, command, _) -> {
                    command.getErr().println("vmft nbd: " + oneLine(failure));
                    return 1;
                });
    }

    private static String oneLine(Exception failure) {
        if (failure instanceof NoSuchFileException) {
            return failure.getMessage() + ": no such file";
        }
        String message = failure.getMessage();
        return message == null
                ? failure.toString()
                : message.lines().findFirst().orElse("");
    }

    /** A number of bytes, as {@code 4096}, {@code 64K}, {@code 1M} or {@code 2G}. */
    record Bytes(long count) {
        static Bytes parse(String text) {
            String upper = text.toUpperCase(Locale.ROOT);
            int shift = upper.isEmpty()
                    ? 0
                    : switch (upper.charAt(upper.length() - 1)) {
                        case 'K' -> 10;
                        case 'M' -> 20;
                        case 'G' -> 30;
                        case 'T' -> 40;
                        default -> 0;
                    };
            try {
                long number = Long.parseLong(shift == 0 ? upper : upper.substring(0, upper.length() - 1));
                if (number < 0 || number > Long.MAX_VALUE >> shift) {
                    throw new CommandLine.TypeConversionException(text + " is out of range");
                }
                return new Bytes(number << shift);
            } catch (NumberFormatException _) {
                throw new CommandLine.TypeConversionException(
                        text + " is no number of bytes; write one as 4096, 64K, 1M or 2G");
            }
        }
    }

    @Command(
            name = "info",
            description = "Says what an export is, or what exports there are.",
            mixinStandardHelpOptions = true)
    static final class Describe implements Callable<Integer> {
        @Spec
        private CommandSpec spec = CommandSpec.create();

        @Parameters(paramLabel = "URI", description = "nbd://HOST:PORT/EXPORT or nbd+unix:///EXPORT?socket=PATH")
        private NbdUri uri = new NbdUri("", 0, null, "");

        @Option(names = "--list", description = "List the names of the server's exports.")
        private boolean list;

        @Override
        public Integer call() throws IOException {
            PrintWriter out = spec.commandLine().getOut();
            if (list) {
                NbdClient.list(uri).forEach(out::println);
            } else {
                try (NbdClient client = NbdClient.connect(uri)) {
                    print(client.export(), out);
                }
            }
            out.flush();
            return 0;
        }

        private static void print(NbdExport export, PrintWriter out) {
            out.println("export: " + export.name());
            out.println("size: " + export.sizeBytes());
            if (!export.description().isEmpty()) {
                out.println("description: " + export.description());
            }
            out.println("preferred block: " + export.preferredBlockBytes());
            out.println("maximum payload: " + export.maximumPayloadBytes());
            out.println("structured replies: " + export.structured());
            record Feature(String name, int flag) {}
            List.of(
                            new Feature("read-only", Nbd.FLAG_READ_ONLY),
                            new Feature("flush", Nbd.FLAG_SEND_FLUSH),
                            new Feature("fua", Nbd.FLAG_SEND_FUA),
                            new Feature("trim", Nbd.FLAG_SEND_TRIM),
                            new Feature("write zeroes", Nbd.FLAG_SEND_WRITE_ZEROES),
                            new Feature("fast zero", Nbd.FLAG_SEND_FAST_ZERO),
                            new Feature("don't fragment", Nbd.FLAG_SEND_DF),
                            new Feature("several connections", Nbd.FLAG_CAN_MULTI_CONN),
                            new Feature("cache", Nbd.FLAG_SEND_CACHE),
                            new Feature("rotational", Nbd.FLAG_ROTATIONAL))
                    .forEach(feature -> out.println(feature.name() + ": " + export.has(feature.flag())));
        }
    }

    @Command(name = "read", description = "Writes bytes of an export to stdout.", mixinStandardHelpOptions = true)
    static final class Read implements Callable<Integer> {
        @Parameters(paramLabel = "URI")
        private NbdUri uri = new NbdUri("", 0, null, "");

        @Parameters(paramLabel = "OFFSET")
        private Bytes offset = new Bytes(0);

        @Parameters(paramLabel = "LENGTH")
        private Bytes length = new Bytes(0);

        @Override
        public Integer call() throws IOException {
            try (NbdClient client = NbdClient.connect(uri);
                    OutputStream out = new BufferedOutputStream(new FileOutputStream(FileDescriptor.out))) {
                for (long done = 0; done < length.count(); ) {
                    int chunk = (int) Math.min(CHUNK_BYTES, length.count() - done);
                    ByteBuf data = Waiting.get(client.read(offset.count() + done, chunk));
                    try {
                        data.readBytes(out, chunk);
                    } finally {
                        data.release();
                    }
                    done += chunk;
                }
            }
            return 0;
        }
    }

    @Command(name = "write", description = "Writes stdin to an export and flushes.", mixinStandardHelpOptions = true)
    static final class Write implements Callable<Integer> {
        @Parameters(paramLabel = "URI")
        private NbdUri uri = new NbdUri("", 0, null, "");

        @Parameters(paramLabel = "OFFSET")
        private Bytes offset = new Bytes(0);

        @Override
        public Integer call() throws IOException {
            try (NbdClient client = NbdClient.connect(uri)) {
                write(client, System.in, offset.count());
            }
            return 0;
        }

        static void write(NbdClient client, InputStream in, long start) throws IOException {
            long position = start;
            for (byte[] chunk = in.readNBytes(CHUNK_BYTES); chunk.length > 0; chunk = in.readNBytes(CHUNK_BYTES)) {
                Waiting.get(client.write(position, Unpooled.wrappedBuffer(chunk), false));
                position += chunk.length;
            }
            Waiting.get(client.flush());
        }
    }

    @Command(
            name = "copy",
            description = "Copies an export or file to an export or file; zeroes stay sparse.",
            mixinStandardHelpOptions = true)
    static final class CopyCommand implements Callable<Integer> {
        @Spec
        private CommandSpec spec = CommandSpec.create();

        @Parameters(paramLabel = "SRC", description = "NBD URI or file")
        private String source = "";

        @Parameters(paramLabel = "DST", description = "NBD URI, or file, which is made anew")
        private String destination = "";

        @Override
        public Integer call() throws IOException {
            if (source.equals(destination)) {
                throw new IOException(source + " cannot be copied to itself");
            }
            try (Endpoint from = Endpoint.source(source);
                    Endpoint to = Endpoint.destination(destination, from.sizeBytes())) {
                new Copy(from, to).run(progress(from.sizeBytes()));
            }
            return 0;
        }

        /** A line that renews itself, for people only. */
        @SuppressWarnings("SystemConsoleNull") // JDK 25 is back to null where there is no terminal
        private LongConsumer progress(long sizeBytes) {
            if (System.console() == null || !System.console().isTerminal()) {
                return _ -> {};
            }
            PrintWriter err = spec.commandLine().getErr();
            return done -> {
                err.printf("\r%3d %%", sizeBytes == 0 ? 100 : done * 100 / sizeBytes);
                if (done == sizeBytes) {
                    err.println();
                }
                err.flush();
            };
        }
    }
}
