package io.vmft.kvm;

import java.io.EOFException;
import java.io.IOException;
import java.net.SocketException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.nio.file.attribute.UserPrincipal;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import jdk.net.ExtendedSocketOptions;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The engine's end of {@code libvmft.so} in one QEMU process.
 *
 * <p>A checkpoint: {@link #arm}, then QMP {@code xen-save-devices-state} with {@link #STATE_NAME}. The library reports {@link Listener#chunk} for
 * each batch of dirty pages, and {@link Listener#harvested} last; then the guest goes on. If that harvest is valid, what QEMU sends to
 * its disks waits until the engine calls {@link #sealed} or {@link #voidCheckpoint}, one of which it owes to the library, and arms the next
 * checkpoint only after that. With {@link #armAndPreCopy} most pages are copied before QEMU is told. If QEMU answers the command with an
 * error the engine calls {@link #voidCheckpoint} whatever was reported before.
 *
 * <p>The first harvest, live or in a pause, finds every page dirty: the library knows nothing of what came before it.
 *
 * <p>QEMU lives no longer than this connection: closing the tracker, or the death of this process, ends it.
 *
 * <p>All methods may be called from any thread. Those that send are one small write; they must not be called by a thread that is
 * being interrupted, because an interrupt in the middle of a write closes the connection.
 */
public final class Tracker implements AutoCloseable {
    private static final int ARM_DIGESTS = 1;
    private static final int ARM_PRECOPY = 2;

    private record PreCopy(long epoch, CompletableFuture<Void> done) {}

    /** Told what the library reports, on the tracker's own thread. Its methods must not block: pauses wait for them. */
    public interface Listener {
        /** The library is in QEMU and ready. */
        void connected(Hello hello);

        /** The receiver owns the chunk's slot until {@link Tracker#release}. */
        void chunk(Chunk chunk);

        /**
         * What all of memory holds at the end of {@code epoch}, as {@link Tracker#arm} asked; comes before {@link #harvested}.
         *
         * @param digests CRC-32C of each {@value StagingFile#DIGEST_PAGES} pages, the last maybe of fewer
         */
        default void digests(long epoch, int[] digests) {}

        /** The pause is over: the state file is whole, and QEMU goes on. If it is valid, {@link Tracker#sealed} or {@link Tracker#voidCheckpoint} is to follow. */
        void harvested(Harvest harvest);

        /**
         * The last call, made once.
         *
         * @param cause null when the tracker was closed here or QEMU ended; else what was wrong
         */
        void disconnected(@Nullable Throwable cause);
    }

    /** The file name to give to {@code xen-save-devices-state}; the state goes into {@link TrackerConfig#stateFile}. As {@code vmft.h} has it. */
    public static final String STATE_NAME = "/";

    private static final Logger LOG = LoggerFactory.getLogger(Tracker.class);

    private final TrackerConfig config;
    private final Listener listener;
    private final Path library;
    private final StagingFile staging;
    private final ServerSocketChannel server;
    private final Thread thread;

    private final Object sendLock = new Object();
    /** Guarded by {@link #sendLock}. */
    private final ByteBuffer sendBuffer = ByteBuffer.allocateDirect(LibraryMessage.BYTES);

    private final Object stateLock = new Object();
    /** Guarded by {@link #stateLock}: whether the engine owns a slot. */
    private final boolean[] owned;
    /** Guarded by {@link #stateLock}. */
    private @Nullable CompletableFuture<DirtyBitmap> live;
    /** Guarded by {@link #stateLock}: the pre-copy under way. */
    private @Nullable PreCopy preCopy;
    /** Guarded by {@link #stateLock}: who waits for the layout. */
    private final List<CompletableFuture<RamLayout>> freezing = new ArrayList<>();
    /** Guarded by {@link #stateLock}. */
    private final List<Long> blockPages = new ArrayList<>();
    /** Guarded by {@link #stateLock}. */
    private long liveSequence;
    /** Guarded by {@link #stateLock}. */
    private boolean closed;
    /** Guarded by {@link #stateLock}: who connected, from before it greeted. */
    private @Nullable SocketChannel peer;

    private volatile boolean seenSending;

    /** What messages are sent on: the peer while it is known to be the library. */
    private volatile @Nullable SocketChannel connection;

    private Tracker(
            TrackerConfig config, Listener listener, Path library, StagingFile staging, ServerSocketChannel server) {
        this.config = config;
        this.listener = listener;
        this.library = library;
        this.staging = staging;
        this.server = server;
        this.owned = new boolean[config.slots()];
        this.thread = Thread.ofPlatform().name("vmft-tracker").daemon(true).unstarted(this::run);
    }

    /**
     * Makes the staging and blocks files, listens on the control socket and starts the tracker's thread. The library connects when QEMU is
     * started with {@link #environment()}. Files left at both paths by an earlier process are replaced.
     *
     * @throws IllegalStateException if {@code libvmft.so} is not to be found
     */
    public static Tracker open(TrackerConfig config, Listener listener) throws IOException {
        Objects.requireNonNull(listener, "listener");
        Path library = NativeLibrary.locate();
        createBlocksFile(config);
        StagingFile staging = StagingFile.create(config);
        ServerSocketChannel server;
        try {
            server = listen(config.controlSocket());
        } catch (IOException e) {
            Files.deleteIfExists(config.stagingFile());
            Files.deleteIfExists(config.blocksFile());
            throw new IOException("cannot listen on the control socket " + config.controlSocket() + ": " + e, e);
        }
        Tracker tracker = new Tracker(config, listener, library, staging, server);
        tracker.thread.start();
        return tracker;
    }

    /** All holes, readable by its owner only. */
    private static void createBlocksFile(TrackerConfig config) throws IOException {
        try (FileChannel file = OwnFile.create(config.blocksFile())) {
            if (config.blocksBytes() > 0) {
                file.write(ByteBuffer.allocate(1), config.blocksBytes() - 1);
            }
        }
    }

    private static ServerSocketChannel listen(Path socket) throws IOException {
        Files.deleteIfExists(socket);
        ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            server.bind(UnixDomainSocketAddress.of(socket), 1);
            Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rw-------"));
            return server;
        } catch (IOException e) {
            server.close();
            Files.deleteIfExists(socket);
            throw e;
        }
    }

    /**
     * Variables to add to QEMU's environment. QEMU must be this process's direct child, and its executable's name must contain
     * {@code qemu-system} or {@code qemu-kvm}; in any other program the library does nothing.
     */
    public Map<String, String> environment() {
        Map<String, String> environment = new HashMap<>();
        String others = System.getenv("LD_PRELOAD");
        environment.put("LD_PRELOAD", others == null || others.isEmpty() ? library.toString() : library + ":" + others);
        environment.put("VMFT_CONTROL", config.controlSocket().toString());
        environment.put("VMFT_STAGING", config.stagingFile().toString());
        environment.put("VMFT_STATE_FILE", config.stateFile().toString());
        environment.put("VMFT_RAM", config.ramFile().toString());
        environment.put("VMFT_BLOCKS", config.blocksFile().toString());
        environment.put("VMFT_PARENT_PID", Long.toString(ProcessHandle.current().pid()));
        return environment;
    }

    /**
     * Makes the next opening of the state file the pause that ends {@code epoch}. Must return before {@code
     * xen-save-devices-state} is sent. Gives up the right to void an earlier epoch.
     *
     * @throws IOException if there is no connection
     */
    public void arm(long epoch) throws IOException {
        arm(epoch, false);
    }

    /**
     * As {@link #arm(long)}.
     *
     * @param digests whether to report {@link Listener#digests} too: the pause is longer by the time it takes to read all memory once
     */
    public void arm(long epoch, boolean digests) throws IOException {
        send(connected(), EngineMessage.ARM, digests ? ARM_DIGESTS : 0, epoch);
    }

    /**
     * As {@link #arm(long, boolean)}, and copies at once, while the guest runs, the pages that are dirty, as far as slots are free. Their chunks come before
     * the pause; a page that is written after that comes again in the pause, which has only these and is shorter for it. {@code
     * xen-save-devices-state} is sent when the future has completed, on the tracker's thread; the future fails with an IOException if there is no
     * connection or it ends, and with an IllegalStateException if another is under way.
     */
    public CompletableFuture<Void> armAndPreCopy(long epoch, boolean digests) {
        PreCopy begun = new PreCopy(epoch, new CompletableFuture<>());
        try {
            SocketChannel channel = connected();
            synchronized (stateLock) {
                if (preCopy != null) {
                    return CompletableFuture.failedFuture(
                            new IllegalStateException("pages of epoch " + preCopy.epoch() + " are being copied"));
                }
                if (closed) {
                    throw new IOException("libvmft is no longer connected");
                }
                preCopy = begun;
            }
            send(channel, EngineMessage.ARM, ARM_PRECOPY | (digests ? ARM_DIGESTS : 0), epoch);
        } catch (IOException e) {
            failPreCopy(e);
            return CompletableFuture.failedFuture(e);
        }
        return begun.done();
    }

    /**
     * Whether the library has seen QEMU send to anyone but the engine before {@link #freeze} completed, as to the block server of its disks. A QEMU
     * that has disks and was not seen sends in a way that the library cannot hold back: its disks would not wait for {@link #sealed}. One that was
     * seen may still have sent something else.
     */
    public boolean hasSeenSending() {
        return seenSending;
    }

    /** Whether the library is there: from when it greeted until QEMU ends. */
    public boolean isConnected() {
        return connection != null;
    }

    private SocketChannel connected() throws IOException {
        SocketChannel channel = connection;
        if (channel == null) {
            throw new IOException("libvmft is not connected: QEMU has not started, or has ended");
        }
        return channel;
    }

    /** The line of {@code epoch}, whose harvest was valid, is drawn: QEMU may send to its disks again. Nothing happens if QEMU is gone. */
    public void sealed(long epoch) {
        sendIfConnected(EngineMessage.SEALED, 0, epoch);
    }

    /**
     * {@code epoch} failed: its pages count as dirty for the next checkpoint, and QEMU may send to its disks again. Ends its pause if that waits for a
     * slot; may also come later, until the next {@link #arm}. Nothing happens if QEMU is gone.
     */
    public void voidCheckpoint(long epoch) {
        sendIfConnected(EngineMessage.VOID, 0, epoch);
    }

    /**
     * Gives a chunk's slot back to the library; its buffers must not be touched any more.
     *
     * @throws IllegalStateException if the slot is not out
     */
    public void release(int slot) {
        synchronized (stateLock) {
            if (!owned[Objects.checkIndex(slot, owned.length)]) {
                throw new IllegalStateException("slot " + slot + " is not out");
            }
            owned[slot] = false;
        }
        sendIfConnected(EngineMessage.RELEASE, slot, 0);
    }

    /**
     * Says that QEMU has made its machine: memory that is added to it from now on is refused, because the backup's QEMU would not
     * have it. Each harvest implies that. Completes, on the tracker's thread, with what there is; fails with an IOException when
     * the connection ends.
     */
    public CompletableFuture<RamLayout> freeze() {
        SocketChannel channel = connection;
        CompletableFuture<RamLayout> future = new CompletableFuture<>();
        synchronized (stateLock) {
            if (channel == null || closed) {
                return CompletableFuture.failedFuture(new IOException("libvmft is not connected"));
            }
            freezing.add(future);
        }
        sendIfConnected(EngineMessage.FREEZE, 0, 0);
        return future;
    }

    /**
     * By how much the clocks of a guest that is about to be restored are to be ahead of its saved state; 0 when it was restored. Counts under KVM
     * only. Nothing happens if QEMU is gone.
     */
    public void clockAhead(long nanos) {
        sendIfConnected(EngineMessage.CLOCK_AHEAD, 0, nanos);
    }

    /**
     * Asks for the pages dirtied since the last harvest, while the guest runs. They count as clean from then on: it is the
     * caller's part to read them from the RAM file, after the future has completed. The future completes on the tracker's
     * thread; it fails with an IOException when the connection ends, and with an IllegalStateException if another is under
     * way.
     */
    public CompletableFuture<DirtyBitmap> harvestLive() {
        return harvestLive(0);
    }

    /**
     * As {@link #harvestLive()}, but what is told is every page that may hold something else than zeroes, dirty or not: those of guest RAM
     * that were touched, and all others.
     */
    public CompletableFuture<DirtyBitmap> harvestLiveForAll() {
        return harvestLive(1);
    }

    private CompletableFuture<DirtyBitmap> harvestLive(int what) {
        SocketChannel channel = connection;
        CompletableFuture<DirtyBitmap> future = new CompletableFuture<>();
        long sequence;
        synchronized (stateLock) {
            if (live != null) {
                return CompletableFuture.failedFuture(new IllegalStateException("a live harvest is under way"));
            }
            if (channel == null || closed) {
                return CompletableFuture.failedFuture(new IOException("libvmft is not connected"));
            }
            live = future;
            sequence = ++liveSequence;
        }
        try {
            send(channel, EngineMessage.HARVEST_LIVE, what, sequence);
        } catch (IOException e) {
            failLive(e);
        }
        return future;
    }

    /**
     * Ends the connection, and QEMU with it, and removes its files. {@link Listener#disconnected} has returned when this returns, unless it is
     * the listener that calls.
     */
    @Override
    public void close() {
        SocketChannel channel;
        synchronized (stateLock) {
            closed = true;
            channel = peer;
        }
        closeQuietly(server);
        if (channel != null) {
            closeQuietly(channel);
        }
        if (Thread.currentThread() == thread) {
            return;
        }
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void run() {
        Throwable cause = null;
        try (SocketChannel channel = acceptOne()) {
            requireSameUser(channel);
            synchronized (stateLock) {
                if (closed) {
                    throw new IOException("closed");
                }
                peer = channel;
            }
            receive(channel);
        } catch (IOException | RuntimeException e) {
            // What a listener throws ends QEMU too: a VM whose engine is broken must not run.
            cause = e;
        } finally {
            connection = null;
        }
        boolean closedHere;
        synchronized (stateLock) {
            closedHere = closed;
            closed = true;
        }
        IOException lost = new IOException("libvmft is no longer connected", cause);
        failLive(lost);
        failPreCopy(lost);
        takeFreezing().forEach(waiting -> waiting.completeExceptionally(lost));
        try {
            Files.deleteIfExists(config.controlSocket());
            Files.deleteIfExists(config.stagingFile());
            Files.deleteIfExists(config.blocksFile());
        } catch (IOException e) {
            if (cause == null) {
                cause = e;
            } else {
                cause.addSuppressed(e);
            }
        }
        listener.disconnected(closedHere && cause instanceof IOException ? null : cause);
    }

    private SocketChannel acceptOne() throws IOException {
        try (server) {
            return server.accept();
        }
    }

    /** The socket file's mode says the same; this also holds in the moment before the mode was set. */
    private void requireSameUser(SocketChannel channel) throws IOException {
        UserPrincipal user =
                channel.getOption(ExtendedSocketOptions.SO_PEERCRED).user();
        if (!user.equals(Files.getOwner(config.stagingFile()))) {
            throw new IOException("user " + user.getName() + " connected to " + config.controlSocket());
        }
    }

    private void receive(SocketChannel channel) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocateDirect(64 * LibraryMessage.BYTES);
        boolean greeted = false;
        while (read(channel, buffer) >= 0) {
            buffer.flip();
            while (buffer.remaining() >= LibraryMessage.BYTES) {
                LibraryMessage message = LibraryMessage.decode(buffer);
                if (greeted) {
                    handle(message);
                } else {
                    greet(channel, message);
                    greeted = true;
                }
            }
            buffer.compact();
        }
        if (buffer.position() > 0) {
            throw new EOFException("libvmft ended in the middle of a message");
        }
    }

    private static int read(SocketChannel channel, ByteBuffer buffer) throws IOException {
        try {
            return channel.read(buffer);
        } catch (SocketException e) {
            // QEMU ended with messages unread: on a unix socket that is a reset, and no other error there is.
            return -1;
        }
    }

    private void greet(SocketChannel channel, LibraryMessage message) throws IOException {
        switch (message) {
            case LibraryMessage.Greeting(Hello hello)
            when hello.abiVersion() == NativeLibrary.ABI_VERSION -> {
                connection = channel;
                listener.connected(hello);
            }
            case LibraryMessage.Greeting(Hello hello) ->
                throw new IOException(library + " speaks version " + hello.abiVersion() + ", this program "
                        + NativeLibrary.ABI_VERSION + "; build both anew");
            case LibraryMessage.Failed failed -> throw failure(failed);
            default -> throw new IOException("libvmft did not greet: " + message);
        }
    }

    private void handle(LibraryMessage message) throws IOException {
        switch (message) {
            case LibraryMessage.Filled(long epoch, int slot, long pageCount, long storedCount) -> {
                if (slot < 0
                        || slot >= config.slots()
                        || pageCount < 1
                        || pageCount > config.pagesPerSlot()
                        || storedCount > pageCount) {
                    throw new IOException("libvmft filled slot " + slot + " with " + pageCount + " pages, "
                            + storedCount + " not zero; there are " + config.slots() + " of " + config.pagesPerSlot());
                }
                synchronized (stateLock) {
                    if (owned[slot]) {
                        throw new IOException("libvmft filled slot " + slot + ", which it did not own");
                    }
                    owned[slot] = true;
                }
                listener.chunk(staging.chunk(epoch, slot, Math.toIntExact(pageCount), Math.toIntExact(storedCount)));
            }
            case LibraryMessage.Harvested(Harvest harvest, long pagemapPages, long kvmPages) -> {
                if (LOG.isTraceEnabled()) {
                    LOG.trace("{}: {} pages written by QEMU, {} by vCPUs", harvest, pagemapPages, kvmPages);
                }
                listener.harvested(harvest);
            }
            case LibraryMessage.Live(long sequence, long dirtyPages) -> completeLive(sequence, dirtyPages);
            case LibraryMessage.PreCopied(long epoch) -> preCopied(epoch);
            case LibraryMessage.Digested(long epoch, long count) -> {
                long pages = layout().pages();
                if (count != (pages + StagingFile.DIGEST_PAGES - 1) / StagingFile.DIGEST_PAGES) {
                    throw new IOException("libvmft sent " + count + " digests of " + pages + " pages");
                }
                listener.digests(epoch, staging.digests(Math.toIntExact(count)));
            }
            case LibraryMessage.Block(int number, long bytes) -> block(number, bytes);
            case LibraryMessage.Frozen(long pages, boolean sends) -> frozen(pages, sends);
            case LibraryMessage.Failed failed -> throw failure(failed);
            case LibraryMessage.Greeting greeting -> throw new IOException("libvmft greeted twice: " + greeting);
        }
    }

    private void block(int number, long bytes) throws IOException {
        synchronized (stateLock) {
            if (number != blockPages.size() + 1 || bytes == 0 || bytes % TrackerConfig.PAGE_BYTES != 0) {
                throw new IOException("libvmft reported block " + number + " of " + bytes + " bytes after "
                        + blockPages.size() + " others");
            }
            blockPages.add(bytes / TrackerConfig.PAGE_BYTES);
        }
    }

    private RamLayout layout() {
        synchronized (stateLock) {
            return new RamLayout(config.ramPages(), blockPages);
        }
    }

    private void frozen(long pages, boolean sends) throws IOException {
        RamLayout layout = layout();
        if (layout.pages() != pages || pages > config.capacityPages()) {
            throw new IOException("libvmft counts " + pages + " pages; it reported " + layout);
        }
        seenSending = sends;
        takeFreezing().forEach(waiting -> waiting.complete(layout));
    }

    private List<CompletableFuture<RamLayout>> takeFreezing() {
        synchronized (stateLock) {
            List<CompletableFuture<RamLayout>> waiting = List.copyOf(freezing);
            freezing.clear();
            return waiting;
        }
    }

    private void completeLive(long sequence, long dirtyPages) throws IOException {
        CompletableFuture<DirtyBitmap> future;
        synchronized (stateLock) {
            if (live == null || sequence != liveSequence) {
                throw new IOException("libvmft answered live harvest " + sequence + ", which was not asked for");
            }
            future = live;
        }
        DirtyBitmap bitmap = staging.bitmap(layout().pages());
        if (bitmap.dirtyPages() != dirtyPages) {
            throw new IOException("libvmft counted " + dirtyPages + " dirty pages and showed " + bitmap.dirtyPages());
        }
        synchronized (stateLock) {
            live = null;
        }
        future.complete(bitmap);
    }

    private void preCopied(long epoch) throws IOException {
        PreCopy ended;
        synchronized (stateLock) {
            ended = preCopy;
            preCopy = null;
        }
        if (ended == null || ended.epoch() != epoch) {
            throw new IOException("libvmft copied pages of epoch " + epoch + ", which was not asked for");
        }
        ended.done().complete(null);
    }

    private void failPreCopy(IOException cause) {
        PreCopy failed;
        synchronized (stateLock) {
            failed = preCopy;
            preCopy = null;
        }
        if (failed != null) {
            failed.done().completeExceptionally(cause);
        }
    }

    private void failLive(IOException cause) {
        CompletableFuture<DirtyBitmap> future;
        synchronized (stateLock) {
            future = live;
            live = null;
        }
        if (future != null) {
            future.completeExceptionally(cause);
        }
    }

    private static IOException failure(LibraryMessage.Failed failed) {
        return new IOException("libvmft: " + failed.text() + " (errno " + failed.errno() + ")");
    }

    private void sendIfConnected(EngineMessage message, int arg, long epoch) {
        SocketChannel channel = connection;
        if (channel == null) {
            return;
        }
        try {
            send(channel, message, arg, epoch);
        } catch (IOException e) {
            // QEMU has ended. The reading side sees it too, and reports it.
        }
    }

    private void send(SocketChannel channel, EngineMessage message, int arg, long epoch) throws IOException {
        // A pending interrupt would close the channel, and QEMU with it.
        boolean interrupted = Thread.interrupted();
        try {
            synchronized (sendLock) {
                message.encode(sendBuffer, arg, epoch);
                while (sendBuffer.hasRemaining()) {
                    channel.write(sendBuffer);
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static void closeQuietly(AutoCloseable closeable) {
        try {
            closeable.close();
        } catch (Exception e) {
            // Nothing is written through it any more; the reading side reports the end.
        }
    }
}
