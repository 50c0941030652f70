package io.vmft.bench.client;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.vmft.proto.blk.v1.ArbiterGrpc;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.EpochReply;
import io.vmft.proto.blk.v1.EpochsGrpc;
import io.vmft.proto.blk.v1.GetRequest;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.SealRequest;
import io.vmft.proto.blk.v1.TakeOverReply;
import io.vmft.proto.blk.v1.TakeOverRequest;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;

/** The block server as a process with one volume, {@code disk}, and an engine's calls to it. Keeps its ports over restarts. */
final class BlockServer implements AutoCloseable {
    private static final String VM = "vm1";

    private final Path folder;
    private final long sizeBytes;
    private final int port = freePort();
    private final int controlPort = freePort();
    private final ManagedChannel control = NettyChannelBuilder.forAddress("127.0.0.1", controlPort)
            .usePlaintext()
            .build();
    private Process process;

    BlockServer(Path folder, long sizeBytes) throws IOException {
        this.folder = folder;
        this.sizeBytes = sizeBytes;
        this.process = launch();
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    int port() {
        return port;
    }

    private Process launch() throws IOException {
        Process started = new ProcessBuilder(List.of(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-XX:+UseSerialGC",
                        "-Xmx256m",
                        "-cp",
                        System.getProperty("java.class.path"),
                        "io.vmft.blk.server.BlkServerMain",
                        "--data",
                        folder.resolve("data").toString(),
                        "--listen",
                        "127.0.0.1:" + port,
                        "--control",
                        "127.0.0.1:" + controlPort,
                        "--volume",
                        "disk=" + folder.resolve("disk.img") + ",size=" + sizeBytes / 1024 + "K"))
                .redirectError(ProcessBuilder.Redirect.appendTo(
                        folder.resolve("server.log").toFile()))
                .start();
        String line =
                new BufferedReader(new InputStreamReader(started.getInputStream(), StandardCharsets.UTF_8)).readLine();
        if (line == null || !line.startsWith("ready ")) {
            started.destroyForcibly();
            throw new AssertionError("the server said '" + line + "', see " + folder.resolve("server.log"));
        }
        return started;
    }

    void kill() {
        process.destroyForcibly().onExit().join();
    }

    void start() throws IOException {
        process = launch();
    }

    private ArbiterGrpc.ArbiterBlockingStub arbiter() {
        return ArbiterGrpc.newBlockingStub(control).withWaitForReady();
    }

    ArbiterRecord record() {
        return arbiter().get(GetRequest.newBuilder().setVm(VM).build()).getRecord();
    }

    /** A host starts to run the virtual machine. */
    void open() {
        arbiter()
                .open(OpenRequest.newBuilder()
                        .setVm(VM)
                        .setHost("a")
                        .addVolumes("disk")
                        .build());
    }

    /** The primary takes a backup; protected from the first commit on. */
    void protect(long epoch) {
        arbiter()
                .beginProtect(BeginProtectRequest.newBuilder()
                        .setVm(VM)
                        .setGeneration(record().getGeneration())
                        .setBackup("b")
                        .build());
        seal(epoch);
        commit(epoch);
    }

    void seal(long epoch) {
        accepted(EpochsGrpc.newBlockingStub(control)
                .seal(SealRequest.newBuilder()
                        .setVm(VM)
                        .setGeneration(record().getGeneration())
                        .setEpoch(epoch)
                        .build()));
    }

    void commit(long epoch) {
        accepted(EpochsGrpc.newBlockingStub(control)
                .commit(CommitRequest.newBuilder()
                        .setVm(VM)
                        .setGeneration(record().getGeneration())
                        .setEpoch(epoch)
                        .build()));
    }

    private static void accepted(EpochReply reply) {
        if (reply.hasRefusal()) {
            throw new AssertionError(reply.getRefusal().getMessage());
        }
    }

    /** The backup goes on; returns the epoch. */
    long takeOver(long oldest, long newest) {
        TakeOverReply reply = arbiter()
                .takeOver(TakeOverRequest.newBuilder()
                        .setVm(VM)
                        .setGeneration(record().getGeneration())
                        .setHost("b")
                        .setOldestEpoch(oldest)
                        .setNewestEpoch(newest)
                        .build());
        if (reply.hasRefusal()) {
            throw new AssertionError(reply.getRefusal().getMessage());
        }
        return reply.getEpoch();
    }

    @Override
    public void close() {
        control.shutdownNow();
        kill();
    }
}
