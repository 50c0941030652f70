package io.vmft.blk.nbd;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;

/**
 * Records what real clients and the server say to each other, as the first inputs of the fuzzers: run by hand when the protocol has grown, see
 * {@code HACKING.md}. Arguments: the corpus folder.
 */
public final class SessionRecorder {
    private static final int MAX_INPUT_BYTES = 48 << 10;

    private final List<ByteArrayOutputStream> fromClients = new CopyOnWriteArrayList<>();
    private final List<ByteArrayOutputStream> fromServer = new CopyOnWriteArrayList<>();

    private SessionRecorder() {}

    public static void main(String[] arguments) throws Exception {
        Path corpus = Path.of(arguments[0]);
        SessionRecorder recorder = new SessionRecorder();
        FuzzView view = new FuzzView(false, false) {
            @Override
            public void close() {} // it serves many connections
        };
        try (NbdServer server = NbdServer.start(
                        new OneExport(view), List.of(new ListenAddress.Tcp("127.0.0.1", 0)), NbdLimits.DEFAULT);
                ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            int target = ((ListenAddress.Tcp) server.addresses().getFirst()).port();
            Thread.ofPlatform().daemon().start(() -> recorder.accept(listener, target));
            recorder.runClients("nbd://127.0.0.1:" + listener.getLocalPort());
        }
        recorder.save(corpus.resolve("session"), recorder.fromClients, new byte[] {0, 0});
        recorder.save(corpus.resolve("server"), recorder.fromServer, new byte[] {1, 0});
        recorder.save(corpus.resolve("server"), recorder.fromServer, new byte[] {2, 0});
    }

    private void runClients(String server) throws Exception {
        String disk = server + "/disk";
        Path folder = Files.createTempDirectory("fuzz");
        Path file = folder.resolve("disk.img");
        Files.write(file, new byte[FuzzView.SIZE_BYTES]);
        List<List<String>> commands = List.of(
                List.of("nbdinfo", disk),
                List.of("nbdinfo", "--list", server),
                List.of("nbdinfo", "--map", disk),
                List.of("nbdinfo", server + "/nothing"),
                List.of("nbdcopy", "--connections=2", "--requests=4", disk, file.toString()),
                List.of("nbdcopy", "--flush", file.toString(), disk),
                List.of("qemu-img", "info", disk),
                List.of("qemu-img", "map", "-f", "raw", disk),
                List.of("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", file.toString(), disk),
                List.of(
                        "qemu-io",
                        "-f",
                        "raw",
                        "-c",
                        "write -P 7 100 600",
                        "-c",
                        "write -z 1k 2k",
                        "-c",
                        "discard 4k 4k",
                        "-c",
                        "write -f 8k 512",
                        "-c",
                        "write -z -u 0 1k",
                        "-c",
                        "flush",
                        "-c",
                        "read 0 8k",
                        disk),
                List.of(
                        "fio",
                        "--name=x",
                        "--ioengine=nbd",
                        "--uri=" + disk,
                        "--rw=randrw",
                        "--bs=512-2k",
                        "--size=16k",
                        "--io_size=12k",
                        "--iodepth=4",
                        "--fsync=3",
                        "--verify=crc32c"));
        for (List<String> command : commands) {
            Process process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .directory(folder.toFile())
                    .start();
            System.out.println(process.waitFor() + " " + String.join(" ", command));
        }
        try (Stream<Path> left = Files.list(folder)) {
            for (Path path : left.toList()) {
                Files.delete(path);
            }
        }
        Files.delete(folder);
    }

    private void accept(ServerSocket listener, int target) {
        while (true) {
            try {
                Socket client = listener.accept();
                Socket server = new Socket(InetAddress.getLoopbackAddress(), target);
                copy(client, server, fromClients);
                copy(server, client, fromServer);
            } catch (IOException e) {
                return;
            }
        }
    }

    private static void copy(Socket from, Socket to, List<ByteArrayOutputStream> kept) {
        ByteArrayOutputStream record = new ByteArrayOutputStream();
        kept.add(record);
        Thread.ofVirtual().start(() -> {
            byte[] buffer = new byte[64 << 10];
            try {
                InputStream in = from.getInputStream();
                OutputStream out = to.getOutputStream();
                for (int count = in.read(buffer); count > 0; count = in.read(buffer)) {
                    synchronized (record) {
                        record.write(buffer, 0, count);
                    }
                    out.write(buffer, 0, count);
                }
                to.shutdownOutput();
            } catch (IOException e) {
                // The other side has ended.
            }
        });
    }

    private void save(Path folder, List<ByteArrayOutputStream> records, byte[] control) throws Exception {
        Files.createDirectories(folder);
        List<String> names = new ArrayList<>();
        for (ByteArrayOutputStream record : records) {
            ByteArrayOutputStream input = new ByteArrayOutputStream();
            input.writeBytes(control);
            synchronized (record) {
                input.writeBytes(record.toByteArray());
            }
            byte[] bytes = input.toByteArray();
            if (bytes.length > control.length && bytes.length <= MAX_INPUT_BYTES) {
                byte[] hash = MessageDigest.getInstance("SHA-1").digest(bytes);
                Files.write(folder.resolve(HexFormat.of().formatHex(hash)), bytes);
                names.add(bytes.length + "");
            }
        }
        System.out.println(folder + ": " + names);
    }
}
