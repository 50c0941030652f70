package io.vmft.blk.control;

import com.google.common.util.concurrent.MoreExecutors;
import io.grpc.BindableService;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallExecutorSupplier;
import io.grpc.netty.NettyServerBuilder;
import io.vmft.blk.thread.WarmThreads;
import io.vmft.proto.blk.v1.EpochsGrpc;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.jspecify.annotations.Nullable;

/** Listens for engines. Calls run on threads of its own, because they wait for disks; an engine's seals do not. */
public final class ControlServer implements AutoCloseable {
    private static final int THREADS = 32;
    private static final int MAX_MESSAGE_BYTES = 64 << 10;
    private static final int MAX_CALLS_PER_CONNECTION = 64;

    private final Server server;
    private final EpochsService epochs;
    private final ExecutorService executor;

    /** Held, for a logger that is not forgets its level. */
    private static final Logger TRANSPORT = Logger.getLogger("io.grpc.netty.NettyServerHandler");

    static {
        // A client that goes away in the middle of an answer would be a stack trace.
        TRANSPORT.setLevel(Level.SEVERE);
    }

    private ControlServer(Server server, EpochsService epochs, ExecutorService executor) {
        this.server = server;
        this.epochs = epochs;
        this.executor = executor;
    }

    /**
     * Starts listening.
     *
     * @param address port 0: any free port
     * @param more further services
     * @throws IOException if it cannot be listened on
     */
    public static ControlServer start(InetSocketAddress address, Coordinator coordinator, BindableService... more)
            throws IOException {
        ExecutorService executor = new WarmThreads("control", THREADS);
        try {
            EpochsService epochs = new EpochsService(coordinator);
            NettyServerBuilder builder = NettyServerBuilder.forAddress(address)
                    // A guest stands still while a seal is on its way, and a seal waits for no disk: it is not handed
                    // to another thread.
                    .executor(MoreExecutors.directExecutor())
                    .callExecutor(onlySealsAreDirect(executor))
                    .maxInboundMessageSize(MAX_MESSAGE_BYTES)
                    .maxConcurrentCallsPerConnection(MAX_CALLS_PER_CONNECTION)
                    .permitKeepAliveTime(5, TimeUnit.SECONDS)
                    .permitKeepAliveWithoutCalls(true)
                    .addService(new ArbiterService(coordinator))
                    .addService(epochs);
            List.of(more).forEach(builder::addService);
            Server server = builder.build().start();
            return new ControlServer(server, epochs, executor);
        } catch (IOException e) {
            executor.shutdown();
            Throwable cause = e.getCause() == null ? e : e.getCause();
            throw new IOException(
                    "cannot listen for control on " + address.getHostString() + ":" + address.getPort() + ": "
                            + cause.getMessage() + "; stop what listens there or choose another --control",
                    e);
        }
    }

    private static ServerCallExecutorSupplier onlySealsAreDirect(Executor others) {
        return new ServerCallExecutorSupplier() {
            @Override
            public <Q, A> @Nullable Executor getExecutor(ServerCall<Q, A> call, Metadata metadata) {
                return call.getMethodDescriptor()
                                .getFullMethodName()
                                .equals(EpochsGrpc.getSealsMethod().getFullMethodName())
                        ? null
                        : others;
            }
        };
    }

    public InetSocketAddress address() {
        return (InetSocketAddress) server.getListenSockets().getFirst();
    }

    /** Refuses new calls and waits, for a bounded time, for those that run. */
    @Override
    public void close() {
        server.shutdown();
        epochs.endOpenCalls();
        try {
            if (!server.awaitTermination(10, TimeUnit.SECONDS)) {
                server.shutdownNow();
                server.awaitTermination(5, TimeUnit.SECONDS);
            }
            // Of a call that its client gave up the server knows no more, but a thread may be at it.
            executor.shutdown();
            executor.awaitTermination(5, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            server.shutdownNow();
            executor.shutdown();
            Thread.currentThread().interrupt();
        }
    }
}
