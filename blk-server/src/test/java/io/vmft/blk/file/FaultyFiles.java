package io.vmft.blk.file;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.BiPredicate;
import org.jspecify.annotations.Nullable;

/** The system's files, each call of which first asks a test's {@link Fault}. Thread-safe. */
public final class FaultyFiles implements StoreFiles {
    /** What a call does to a file. */
    public enum Call {
        OPEN,
        READ,
        WRITE,
        SYNC,
        CLEAR,
        RESERVE
    }

    /** Lets a call go on by returning, fails it by throwing, delays it by waiting. */
    public interface Fault {
        void before(Call call, Path path) throws IOException;

        /** Asked when a write was done: throwing makes one that reached the file look as if it had not. */
        default void afterWrite(Path path) throws IOException {}
    }

    private final Map<Path, LongAdder> readBytes = new ConcurrentHashMap<>();
    private volatile Fault fault = (_, _) -> {};

    public void inject(Fault next) {
        fault = next;
    }

    /** How many bytes of a file were read into memory. */
    public long readBytes(Path path) {
        LongAdder sum = readBytes.get(path);
        return sum == null ? 0 : sum.sum();
    }

    public void heal() {
        fault = (_, _) -> {};
    }

    /** Holds one kind of call on files whose name ends so, until it is released. */
    public Held hold(Call call, String suffix) {
        return hold((actual, path) -> actual == call && path.toString().endsWith(suffix));
    }

    /** As the other, for the calls that are meant. */
    public Held hold(BiPredicate<Call, Path> meant) {
        Held held = new Held();
        inject((actual, path) -> {
            if (meant.test(actual, path)) {
                held.reached.countDown();
                try {
                    held.released.await();
                } catch (InterruptedException e) {
                    throw new IOException(e);
                }
            }
        });
        return held;
    }

    /** A call that waits. */
    public static final class Held {
        private final CountDownLatch reached = new CountDownLatch(1);
        private final CountDownLatch released = new CountDownLatch(1);

        public void awaitReached() throws InterruptedException {
            reached.await();
        }

        public void release() {
            released.countDown();
        }
    }

    @Override
    public StoreFile open(Path path, Access access) throws IOException {
        fault.before(Call.OPEN, path);
        return new FaultyFile(SYSTEM.open(path, access));
    }

    @Override
    public void syncDirectory(Path directory) throws IOException {
        fault.before(Call.SYNC, directory);
        SYSTEM.syncDirectory(directory);
    }

    private final class FaultyFile implements StoreFile {
        private final StoreFile file;
        private @Nullable Path closed;

        FaultyFile(StoreFile file) {
            this.file = file;
        }

        private void ask(Call call) throws IOException {
            if (closed != null) {
                throw new AssertionError(closed + " was used after it was closed");
            }
            fault.before(call, file.path());
        }

        @Override
        public Path path() {
            return file.path();
        }

        @Override
        public long sizeBytes() throws IOException {
            return file.sizeBytes();
        }

        @Override
        public void read(long position, MemorySegment destination) throws IOException {
            ask(Call.READ);
            file.read(position, destination);
            readBytes.computeIfAbsent(file.path(), _ -> new LongAdder()).add(destination.byteSize());
        }

        @Override
        public void write(long position, MemorySegment source) throws IOException {
            ask(Call.WRITE);
            file.write(position, source);
        }

        @Override
        public void write(long position, WriteVector pieces) throws IOException {
            ask(Call.WRITE);
            file.write(position, pieces);
            fault.afterWrite(file.path());
        }

        @Override
        public void sync() throws IOException {
            ask(Call.SYNC);
            file.sync();
        }

        @Override
        public void punchHole(long position, long lengthBytes) throws IOException {
            ask(Call.CLEAR);
            file.punchHole(position, lengthBytes);
        }

        @Override
        public void zero(long position, long lengthBytes) throws IOException {
            ask(Call.CLEAR);
            file.zero(position, lengthBytes);
        }

        @Override
        public boolean zeroesFast(boolean punchHole) {
            return file.zeroesFast(punchHole);
        }

        @Override
        public long nextData(long position) throws IOException {
            ask(Call.READ);
            return file.nextData(position);
        }

        @Override
        public long nextHole(long position) throws IOException {
            ask(Call.READ);
            return file.nextHole(position);
        }

        @Override
        public void readAhead(long position, long lengthBytes) {
            file.readAhead(position, lengthBytes);
        }

        @Override
        public void reserve(long position, long lengthBytes) throws IOException {
            ask(Call.RESERVE);
            file.reserve(position, lengthBytes);
        }

        @Override
        public void setSize(long sizeBytes) throws IOException {
            ask(Call.RESERVE);
            file.setSize(sizeBytes);
        }

        @Override
        public void close() throws IOException {
            file.close();
            closed = file.path();
        }
    }
}
