package io.vmft.engine.net;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channel;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The gate of one network card: QEMU's {@code -netdev stream} socket on one side, the host's tap on the other.
 *
 * <p>Guarantees:
 *
 * <ul>
 *   <li>While holding, no frame that the guest sent in epoch e leaves before {@link #release} of an epoch ≥ e. A frame the gate
 *       reads late counts to the later epoch.
 *   <li>Frames leave in the order in which the guest sent them, and none is dropped on the way out: when the bound is reached
 *       the gate stops reading, and the guest's card stops sending.
 *   <li>Once {@link #close} has returned nothing leaves any more.
 * </ul>
 *
 * <p>Frames for the guest are passed on at once unless the gate is closed. If QEMU does not read, the tap's queue in the kernel
 * fills and drops, as a network card would.
 *
 * <p>Thread-safe. {@link #startHolding} and {@link #mark} come from one thread at a time (the one that ends epochs). {@link
 * #release} and {@link #openNow} send on the caller's thread: nothing is handed over, so a frame leaves within
 * microseconds. Two platform threads {@code gate-VM-nicN-out} and {@code -in} wait for frames.
 */
public final class NetGate implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(NetGate.class);
    private static final int READ_BUFFER_BYTES = 256 << 10;

    /** What happens to frames. */
    public enum Mode {
        /** Both ways are dropped: a standby before it takes over. */
        CLOSED,
        /** Both ways pass: the VM runs unprotected. */
        OPEN,
        /** What the guest sends waits for its epoch: the VM is protected. */
        HOLDING
    }

    /** Such as {@code vm1-nic0}. */
    private final String label;

    private final FramePort port;
    private final Path socket;
    private final ServerSocketChannel server;
    private final HeldFrames held;
    private final FrameSink toHost = this::sendReleased;
    private final StreamFrames fromQemu;
    private final CompletableFuture<Void> ended = new CompletableFuture<>();

    /** Guards {@link #held} and the order in which frames leave. */
    private final ReentrantLock sending = new ReentrantLock();

    private final Condition room = sending.newCondition();

    /** Changed under {@link #sending}. */
    private volatile Mode mode;

    /** The epoch the guest runs in; a frame gets it after it was read, so never one that is too old. */
    private volatile long openEpoch;

    private volatile @Nullable InputWatcher inputWatcher;

    /** Keeps frames for the guest whole when {@link #deliver} adds some. */
    private final ReentrantLock delivering = new ReentrantLock();

    private volatile @Nullable SocketChannel qemu;
    private volatile boolean closed;

    private final LongAdder released = new LongAdder();
    private final LongAdder passed = new LongAdder();
    private final LongAdder received = new LongAdder();
    private final LongAdder droppedFromGuest = new LongAdder();
    private final LongAdder droppedToGuest = new LongAdder();
    private final LongAdder fullNanos = new LongAdder();

    private NetGate(
            String vm, int nic, Path socket, ServerSocketChannel server, FramePort port, long maxHeldBytes, Mode mode) {
        this.label = vm + "-nic" + nic;
        this.socket = socket;
        this.server = server;
        this.port = port;
        this.mode = mode;
        this.held = new HeldFrames(Arena.ofAuto().allocate(maxHeldBytes, 64));
        this.fromQemu = new StreamFrames(Arena.ofAuto().allocate(READ_BUFFER_BYTES, 64));
    }

    /**
     * Listens for QEMU and starts to work.
     *
     * @param vm names threads and messages
     * @param nic index of the card
     * @param socket where QEMU will connect, once; what lies there is replaced, and it is gone when QEMU has
     * @param port the tap; closed with the gate, and also if this fails
     * @param maxHeldBytes bound of held frames, at least one frame of the greatest length (68 KiB)
     * @param mode to start in: {@code OPEN} on a primary, {@code CLOSED} on a standby
     */
    public static NetGate open(String vm, int nic, Path socket, FramePort port, long maxHeldBytes, Mode mode)
            throws IOException {
        if (mode == Mode.HOLDING || maxHeldBytes < StreamFrames.MAX_FRAME_BYTES) {
            port.close();
            throw new IllegalArgumentException("cannot start in mode " + mode + " with " + maxHeldBytes + " bytes");
        }
        ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            Files.deleteIfExists(socket);
            server.bind(UnixDomainSocketAddress.of(socket), 1);
        } catch (IOException e) {
            server.close();
            port.close();
            throw new IOException(vm + ": cannot listen on " + socket + ": " + e.getMessage(), e);
        }
        NetGate gate = new NetGate(vm, nic, socket, server, port, maxHeldBytes, mode);
        Thread.ofPlatform().name("gate-" + gate.label + "-out").daemon().start(gate::carryOut);
        Thread.ofPlatform().name("gate-" + gate.label + "-in").daemon().start(gate::carryIn);
        return gate;
    }

    /**
     * From now on what the guest sends is held; it belongs to {@code epoch} until the first {@link #mark}.
     *
     * @throws IllegalStateException if the gate is closed, or holds for a later epoch
     */
    public void startHolding(long epoch) {
        sending.lock();
        try {
            // While it is open nothing is held, and an earlier protection's numbers mean nothing.
            if (mode == Mode.CLOSED || (mode == Mode.HOLDING && epoch < openEpoch)) {
                throw new IllegalStateException(
                        label + ": cannot hold from epoch " + epoch + ": mode " + mode + ", epoch " + openEpoch);
            }
            openEpoch = epoch;
            mode = Mode.HOLDING;
        } finally {
            sending.unlock();
        }
    }

    /**
     * Ends an epoch; called before its pause. Frames read so far belong to epochs ≤ {@code epoch}, later ones to {@code epoch + 1}, also
     * those that the guest sent before it stood still: they wait longer than they had to. Takes no lock and does not wait.
     */
    public void mark(long epoch) {
        if (epoch < openEpoch) {
            throw new IllegalStateException(label + ": epoch " + epoch + " was marked before; open is " + openEpoch);
        }
        openEpoch = epoch + 1;
    }

    /**
     * Sends all held frames of epochs ≤ {@code epoch}, which was committed.
     *
     * @return how many
     * @throws IllegalStateException if the epoch was not marked: it has not even ended
     */
    public int release(long epoch) {
        sending.lock();
        try {
            if (epoch >= openEpoch) {
                throw new IllegalStateException(
                        label + ": release of epoch " + epoch + ", which has not ended; open is " + openEpoch);
            }
            return releaseUpTo(epoch);
        } finally {
            sending.unlock();
        }
    }

    /**
     * Sends everything held and lets all pass from now on: after GoSolo was won (what was held is safe then), or after a
     * takeover.
     *
     * @return how many held frames were sent
     */
    public int openNow() {
        sending.lock();
        try {
            int count = releaseUpTo(Long.MAX_VALUE);
            mode = closed ? Mode.CLOSED : Mode.OPEN;
            return count;
        } finally {
            sending.unlock();
        }
    }

    /** Shows held frames of epochs above {@code after} and up to {@code through}, oldest first; they stay held. */
    public void showHeld(long after, long through, FrameSink sink) {
        sending.lock();
        try {
            held.show(after, through, sink);
        } finally {
            sending.unlock();
        }
    }

    /** Who is shown what the guest is given from now on; null: nobody. */
    public void watchInput(@Nullable InputWatcher watcher) {
        inputWatcher = watcher;
    }

    /** Sends a frame that the guest sent on the host that ran it before. Nothing happens unless the gate is open. */
    public void sendFromBefore(MemorySegment memory, long offset, int lengthBytes) {
        sending.lock();
        try {
            if (mode == Mode.OPEN) {
                send(memory, offset, lengthBytes, released);
            }
        } finally {
            sending.unlock();
        }
    }

    /**
     * Gives the guest a frame as if it came from the network now. Nothing happens if the gate is closed.
     *
     * @param frame read from its position to its limit
     */
    public void deliver(ByteBuffer frame) throws IOException {
        SocketChannel channel = qemu;
        if (mode == Mode.CLOSED || channel == null) {
            droppedToGuest.increment();
            return;
        }
        ByteBuffer whole = ByteBuffer.allocate(StreamFrames.HEADER_BYTES + frame.remaining())
                .putInt(frame.remaining())
                .put(frame)
                .flip();
        writeToQemu(channel, whole);
        received.increment();
    }

    /**
     * Completes when QEMU closed its end or the gate was closed; fails if frames cannot be carried any more (the tap was
     * deleted, QEMU's stream is broken). Dependents must not block.
     */
    public CompletableFuture<Void> ended() {
        return ended.copy();
    }

    public GateCounters counters() {
        sending.lock();
        try {
            return new GateCounters(
                    mode,
                    held.frameCount(),
                    held.payloadBytes(),
                    released.sum(),
                    passed.sum(),
                    received.sum(),
                    droppedFromGuest.sum(),
                    droppedToGuest.sum(),
                    fullNanos.sum());
        } finally {
            sending.unlock();
        }
    }

    /** Drops what is held, ends both threads' work and closes the tap. Idempotent. */
    @Override
    public void close() {
        end(null);
    }

    private int releaseUpTo(long epoch) {
        int count = held.release(epoch, toHost);
        if (count > 0) {
            room.signal();
        }
        return count;
    }

    private void sendReleased(MemorySegment memory, long offset, int lengthBytes) {
        send(memory, offset, lengthBytes, released);
    }

    /** Called with {@link #sending} held. */
    private void send(MemorySegment memory, long offset, int lengthBytes, LongAdder counter) {
        try {
            (port.send(memory, offset, lengthBytes) ? counter : droppedFromGuest).increment();
        } catch (IOException e) {
            droppedFromGuest.increment();
            end(e);
        }
    }

    private void carryOut() {
        try (SocketChannel channel = server.accept()) {
            qemu = channel;
            server.close();
            Files.deleteIfExists(socket);
            while (!closed && fromQemu.next(channel)) {
                take();
            }
            end(null);
        } catch (IOException | InterruptedException | RuntimeException e) {
            end(e);
        }
    }

    /** Puts the frame at hand where the mode says. */
    private void take() throws InterruptedException {
        MemorySegment memory = fromQemu.memory();
        long offset = fromQemu.frameOffset();
        int lengthBytes = fromQemu.frameLengthBytes();
        sending.lock();
        try {
            while (mode == Mode.HOLDING && !held.offer(openEpoch, memory, offset, lengthBytes)) {
                long fullSince = System.nanoTime();
                room.await();
                fullNanos.add(System.nanoTime() - fullSince);
            }
            switch (mode) {
                case OPEN -> send(memory, offset, lengthBytes, passed);
                case CLOSED -> droppedFromGuest.increment();
                case HOLDING -> {}
            }
        } finally {
            sending.unlock();
        }
    }

    private void carryIn() {
        MemorySegment memory = Arena.ofAuto().allocate(READ_BUFFER_BYTES, 64);
        ByteBuffer buffer = memory.asByteBuffer();
        try {
            for (int n = port.receive(memory, StreamFrames.HEADER_BYTES);
                    n >= 0;
                    n = port.receive(memory, StreamFrames.HEADER_BYTES)) {
                SocketChannel channel = qemu;
                if (mode == Mode.CLOSED || channel == null) {
                    droppedToGuest.increment();
                    continue;
                }
                memory.set(StreamFrames.LENGTH, 0, n);
                buffer.limit(StreamFrames.HEADER_BYTES + n).position(0);
                writeToQemu(channel, buffer);
                received.increment();
                InputWatcher watcher = inputWatcher;
                if (watcher != null) {
                    watcher.received(openEpoch, memory, StreamFrames.HEADER_BYTES, n);
                }
            }
            end(null);
        } catch (IOException | RuntimeException e) {
            end(e);
        }
    }

    private void writeToQemu(SocketChannel channel, ByteBuffer frame) throws IOException {
        delivering.lock();
        try {
            while (frame.hasRemaining()) {
                channel.write(frame);
            }
        } finally {
            delivering.unlock();
        }
    }

    /** The first call decides how {@link #ended()} completes. */
    private void end(@Nullable Exception cause) {
        sending.lock();
        try {
            if (closed) {
                return;
            }
            closed = true;
            mode = Mode.CLOSED;
            room.signalAll();
        } finally {
            sending.unlock();
        }
        port.close();
        closeQuietly(server);
        SocketChannel channel = qemu;
        if (channel != null) {
            closeQuietly(channel);
        }
        try {
            Files.deleteIfExists(socket);
        } catch (IOException e) {
            LOG.debug("{}: deleting {}", label, socket, e);
        }
        if (cause == null) {
            ended.complete(null);
        } else {
            LOG.warn("{}: carries no frames any more: {}", label, cause.getMessage());
            ended.completeExceptionally(new IOException(label + ": " + cause.getMessage(), cause));
        }
    }

    private void closeQuietly(Channel channel) {
        try {
            channel.close();
        } catch (IOException e) {
            LOG.debug("{}: closing", label, e);
        }
    }
}
