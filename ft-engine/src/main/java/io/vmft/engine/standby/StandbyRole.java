package io.vmft.engine.standby;

import com.google.protobuf.InvalidProtocolBufferException;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.handler.codec.CorruptedFrameException;
import io.vmft.engine.EngineContext;
import io.vmft.engine.EngineException;
import io.vmft.engine.EngineStatus;
import io.vmft.engine.Role;
import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.epoch.EpochTimes;
import io.vmft.engine.replication.Link;
import io.vmft.engine.replication.LinkListener;
import io.vmft.engine.replication.Links;
import io.vmft.engine.standby.StandbySession.Phase;
import io.vmft.engine.vm.GuestVm;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.FrameType;
import io.vmft.proto.engine.v1.Hello;
import io.vmft.proto.engine.v1.Welcome;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Waits for a primary, and holds one's VM at a time to take it over: listens, welcomes or refuses, and answers operators. What becomes
 * of the VM is its {@link StandbySession}'s. On the engine's loop only.
 */
public final class StandbyRole implements Role, LinkListener {
    /** Takes the VM when the arbiter gave it to this host and it runs. */
    @FunctionalInterface
    public interface TookOver {
        void tookOver(GuestVm vm, ArbiterRecord record, EngineStatus.TakeOver takeOver);
    }

    private static final Logger log = LoggerFactory.getLogger(StandbyRole.class);

    private static final int MAX_LINKS = 8;

    private final EngineContext context;
    private final TookOver tookOver;
    private final Compatibility compatibility;

    private @Nullable Channel listening;
    private int links;
    /** The last one; null before the first primary came. */
    private @Nullable StandbySession session;
    /** By the sessions before that. */
    private long verifiedBefore;
    /** Nothing is waited for any more: the VM runs here, or the engine was told to stop. */
    private boolean over;

    public StandbyRole(EngineContext context, TookOver tookOver) {
        this.context = context;
        this.tookOver = tookOver;
        this.compatibility = new Compatibility(context.host(), context.qemu().version(), context.fingerprint());
    }

    /** Listens; completes with the address when primaries may connect. */
    public CompletableFuture<InetSocketAddress> start() {
        HostPort listen = context.config().protection().listen();
        return Links.listen(
                        context.loop(),
                        new InetSocketAddress(listen.host(), listen.port()),
                        context.linkConfig(),
                        this::allocate,
                        this,
                        this::accepted)
                .thenApply(channel -> {
                    listening = channel;
                    return (InetSocketAddress) channel.localAddress();
                });
    }

    private void accepted(Link link) {
        if (++links > MAX_LINKS) {
            link.close("more than " + MAX_LINKS + " connections at a time");
        }
    }

    private ByteBuf allocate(FrameType type, int lengthBytes) {
        if (session != null) {
            session.requireRoom(lengthBytes);
        }
        return PooledByteBufAllocator.DEFAULT.directBuffer(lengthBytes, lengthBytes);
    }

    @Override
    public void frame(Link from, Frame frame) {
        try {
            if (frame.type() == FrameType.HELLO) {
                hello(from, Hello.parseFrom(ByteBufUtil.getBytes(frame.payload())));
            } else if (session != null && from == session.primary()) {
                session.frame(from, frame);
            } else {
                from.close("a " + frame.type() + " frame before HELLO");
            }
        } catch (InvalidProtocolBufferException | CorruptedFrameException | IllegalStateException e) {
            from.close("primary " + primaryHost() + " broke the protocol: " + e.getMessage());
        } finally {
            frame.release();
        }
    }

    private void hello(Link from, Hello hello) {
        String refusal = refusal(hello);
        if (refusal.isEmpty()) {
            verifiedBefore += sessionStatus().verified();
            session = new StandbySession(context, from, hello.getHost(), this::runsHere);
        } else {
            log.warn("{}: refused primary {} ({}): {}", context.vm(), hello.getHost(), from.peer(), refusal);
        }
        from.send(
                FrameType.WELCOME,
                0,
                Welcome.newBuilder()
                        .setHost(context.host())
                        .setRefusal(refusal)
                        .build()
                        .toByteArray());
    }

    private String refusal(Hello hello) {
        if (over || sessionStatus().phase() != Phase.ENDED) {
            return "it is busy with " + (primaryHost().isEmpty() ? "a takeover" : "primary " + primaryHost());
        }
        if (session != null && !session.settled().isDone()) {
            return "it is ending the QEMU of the last protection; ask again";
        }
        return compatibility.refusal(hello);
    }

    @Override
    public void closed(Link from, String reason) {
        links--;
        if (session != null && from == session.primary()) {
            session.primaryLost(reason);
        } else {
            log.info("{}: connection from {} ended: {}", context.vm(), from.peer(), reason);
        }
    }

    private void runsHere(GuestVm vm, ArbiterRecord record, EngineStatus.TakeOver takeOver) {
        over = true;
        closeListening();
        tookOver.tookOver(vm, record, takeOver);
    }

    private void closeListening() {
        if (listening != null) {
            listening.close();
        }
    }

    @Override
    public CompletableFuture<String> protect(Optional<HostPort> standby) {
        return CompletableFuture.failedFuture(notHere());
    }

    @Override
    public CompletableFuture<Long> pause() {
        return CompletableFuture.failedFuture(notHere());
    }

    @Override
    public CompletableFuture<Void> resume() {
        return CompletableFuture.failedFuture(notHere());
    }

    private EngineException notHere() {
        return new EngineException(context.vm() + ": is a standby on this host; ask the primary");
    }

    @Override
    public CompletableFuture<Void> stop(String reason) {
        log.info("{}: standby ends: {}", context.vm(), reason);
        over = true;
        if (session != null) {
            Link from = session.primary();
            session.end();
            if (from != null) {
                from.close(reason);
            }
        }
        closeListening();
        return session == null ? CompletableFuture.completedFuture(null) : session.settled();
    }

    @Override
    public EngineStatus status() {
        StandbySession.Status last = sessionStatus();
        return new EngineStatus(
                context.vm(),
                context.host(),
                "standby",
                mode(last.phase()),
                state(last.phase()),
                last.generation(),
                0,
                last.foldedEpoch(),
                last.newestComplete(),
                last.completed(),
                0,
                0,
                0,
                Map.of(),
                0,
                0,
                0,
                verifiedBefore + last.verified(),
                context.qemu().accelerator().toString(),
                context.qemu().version(),
                last.qemuPid(),
                ProcessHandle.current().pid(),
                last.peer(),
                listening == null ? null : String.valueOf(listening.localAddress()),
                null,
                null);
    }

    @Override
    public List<EpochTimes> epochsAfter(long epoch) {
        return List.of();
    }

    private StandbySession.Status sessionStatus() {
        return session == null ? StandbySession.Status.NONE : session.status();
    }

    private String primaryHost() {
        return session == null ? "" : session.primaryHost();
    }

    private String state(Phase phase) {
        if (phase == Phase.ENDED) {
            return over ? "over" : "waiting";
        }
        return phase.toString().toLowerCase(Locale.ROOT).replace('_', ' ');
    }

    private static String mode(Phase phase) {
        return switch (phase) {
            case GREETED, ENDED -> "closed";
            case STARTING, SYNCING -> "syncing";
            case HOLDING, TAKING_OVER -> "protected";
        };
    }
}
