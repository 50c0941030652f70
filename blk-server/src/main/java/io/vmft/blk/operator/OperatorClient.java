package io.vmft.blk.operator;

import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.inspect.NewImage;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.CheckReply;
import io.vmft.proto.blk.v1.CheckRequest;
import io.vmft.proto.blk.v1.ExportData;
import io.vmft.proto.blk.v1.ExportHead;
import io.vmft.proto.blk.v1.ExportReply;
import io.vmft.proto.blk.v1.ExportRequest;
import io.vmft.proto.blk.v1.Finding;
import io.vmft.proto.blk.v1.ForceRequest;
import io.vmft.proto.blk.v1.GetRequest;
import io.vmft.proto.blk.v1.JournalReply;
import io.vmft.proto.blk.v1.ListJournalRequest;
import io.vmft.proto.blk.v1.ListVmsRequest;
import io.vmft.proto.blk.v1.OperatorGrpc;
import io.vmft.proto.blk.v1.ShowVmReply;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Asks a running server. Not thread-safe. Every call either is answered or fails with one line for the operator. */
public final class OperatorClient implements AutoCloseable {
    private static final int MAX_MESSAGE_BYTES = 16 << 20;
    private static final long ANSWER_SECONDS = 10;
    /** What gRPC says of an answer that is none of its protocol's. */
    private static final String NO_GRPC = "http2 exception";

    /** What Netty puts before the system's words. */
    private static final Pattern SYSTEM_CALL = Pattern.compile("^.* failed with error\\(-?\\d+\\): ");

    private final String address;
    private final ManagedChannel channel;
    private final OperatorGrpc.OperatorBlockingStub stub;

    public OperatorClient(InetSocketAddress server) {
        address = server.getHostString() + ":" + server.getPort();
        channel = NettyChannelBuilder.forAddress(server)
                .usePlaintext()
                .maxInboundMessageSize(MAX_MESSAGE_BYTES)
                .build();
        stub = OperatorGrpc.newBlockingStub(channel);
    }

    private interface Call<T> {
        T ask(OperatorGrpc.OperatorBlockingStub stub) throws IOException;
    }

    private <T> T ask(Call<T> call) throws IOException {
        try {
            return call.ask(stub);
        } catch (StatusRuntimeException e) {
            Status status = e.getStatus();
            String why = status.getDescription() == null ? "" : ": " + status.getDescription();
            throw new IOException(
                    switch (status.getCode()) {
                        case UNAVAILABLE, DEADLINE_EXCEEDED ->
                            "--control " + address + ": no block server answers (" + cause(status)
                                    + "); if it is down, ask with --data DIR";
                        case UNIMPLEMENTED -> notOne();
                        case INTERNAL ->
                            NO_GRPC.equals(status.getDescription()) ? notOne() : "block server " + address + why;
                        case FAILED_PRECONDITION, RESOURCE_EXHAUSTED -> "block server " + address + why;
                        default -> "block server " + address + ": " + status.getCode() + why;
                    },
                    e);
        }
    }

    private String notOne() {
        return "--control " + address
                + ": what listens there is not the control port of a block server that knows this command";
    }

    private static String cause(Status status) {
        Throwable deepest = status.getCause();
        while (deepest != null && deepest.getCause() != null) {
            deepest = deepest.getCause();
        }
        String message = deepest == null ? status.getDescription() : deepest.getMessage();
        return message == null
                ? status.getCode().toString()
                : SYSTEM_CALL.matcher(message).replaceFirst("");
    }

    private static OperatorGrpc.OperatorBlockingStub bounded(OperatorGrpc.OperatorBlockingStub stub) {
        return stub.withDeadlineAfter(ANSWER_SECONDS, TimeUnit.SECONDS);
    }

    public List<ArbiterRecord> list() throws IOException {
        return ask(some -> {
            List<ArbiterRecord> all = new ArrayList<>();
            bounded(some).listVms(ListVmsRequest.getDefaultInstance()).forEachRemaining(all::add);
            return all;
        });
    }

    public ShowVmReply show(String vm) throws IOException {
        return ask(
                some -> bounded(some).showVm(GetRequest.newBuilder().setVm(vm).build()));
    }

    public ArbiterReply force(ForceRequest request) throws IOException {
        return ask(some -> bounded(some).force(request));
    }

    /** What was looked at, in a few words. */
    public String check(Consumer<Finding> to) throws IOException {
        return ask(some -> {
            String lookedAt = "";
            Iterator<CheckReply> replies = some.check(CheckRequest.getDefaultInstance());
            while (replies.hasNext()) {
                CheckReply reply = replies.next();
                if (reply.hasFinding()) {
                    to.accept(reply.getFinding());
                } else {
                    lookedAt = reply.getLookedAt();
                }
            }
            return lookedAt;
        });
    }

    public void listJournal(Consumer<JournalReply> to) throws IOException {
        ask(some -> {
            some.listJournal(ListJournalRequest.getDefaultInstance()).forEachRemaining(to);
            return true;
        });
    }

    /** Writes what a volume held at its last commit into a new file; says which that was. */
    public String exportCommitted(String volume, Path to) throws IOException {
        NewImage.check(to);
        return ask(some -> {
            @Nullable NewImage image = null;
            try (Arena arena = Arena.ofConfined()) {
                ExportHead head = ExportHead.getDefaultInstance();
                MemorySegment buffer = arena.allocate(MAX_MESSAGE_BYTES, 4096);
                Iterator<ExportReply> replies = some.exportCommitted(
                        ExportRequest.newBuilder().setVolume(volume).build());
                while (replies.hasNext()) {
                    ExportReply reply = replies.next();
                    if (image == null) {
                        head = reply.getHead();
                        image = NewImage.begin(StoreFiles.SYSTEM, to, head.getSizeBytes());
                        image.removeOnExit();
                    } else {
                        write(reply.getData(), image, buffer);
                    }
                }
                if (image == null) {
                    throw new IOException("block server " + address + " sent nothing");
                }
                image.finish();
                return head.getEpoch() == 0
                        ? "its last commit; nothing is journaled by epoch now"
                        : "epoch " + head.getEpoch() + ", committed";
            } finally {
                if (image != null) {
                    image.close();
                }
            }
        });
    }

    private static void write(ExportData data, NewImage image, MemorySegment buffer) throws IOException {
        MemorySegment piece = buffer.asSlice(0, data.getData().size());
        data.getData().copyTo(piece.asByteBuffer());
        image.write(data.getOffset(), piece);
    }

    @Override
    public void close() {
        channel.shutdownNow();
    }
}
