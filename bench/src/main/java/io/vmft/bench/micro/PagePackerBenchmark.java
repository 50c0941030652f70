package io.vmft.bench.micro;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.engine.replication.PagePacker;
import io.vmft.engine.replication.PageUnpacker;
import io.vmft.proto.checkpoint.PackedPages;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;

/**
 * Pages of random bytes, the hardest there are: of which eight bytes changed, every tenth byte, or all. Beside them the plain copy that the
 * others are to be compared with.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class PagePackerBenchmark {
    private static final int PAGES = 256;
    private static final int PAGE_BYTES = 4096;

    private final SplittableRandom random = new SplittableRandom(1);
    private final PagePacker packer = new PagePacker(64L << 20);
    private long epoch;
    private final PageUnpacker unpacker = new PageUnpacker();
    private final ByteBuffer indexes = ByteBuffer.allocateDirect(8 * PAGES).order(ByteOrder.LITTLE_ENDIAN);
    private final ByteBuffer pages = ByteBuffer.allocateDirect(PAGE_BYTES * PAGES);
    private final ByteBuf packed = Unpooled.directBuffer(PagePacker.maxBytes(PAGES, PAGES));
    private final ByteBuf whole = Unpooled.directBuffer(PagePacker.maxBytes(PAGES, PAGES));
    private final ByteBuffer copy = ByteBuffer.allocateDirect(PAGE_BYTES * PAGES);
    private final PackedPages oneWord;

    /** Makes the pages, and lets the packer know them. */
    public PagePackerBenchmark() {
        for (int i = 0; i < PAGES; i++) {
            indexes.putLong(8 * i, i);
        }
        changeAll();
        pack();
        changeOneWord();
        pack();
        oneWord = PackedPages.parse(packed.copy(), PAGES);
    }

    private void changeAll() {
        for (int at = 0; at < pages.capacity(); at += 8) {
            pages.putLong(at, random.nextLong());
        }
    }

    private void changeOneWord() {
        for (int page = 0; page < PAGES; page++) {
            pages.putLong(page * PAGE_BYTES + 8 * random.nextInt(PAGE_BYTES / 8), random.nextLong());
        }
    }

    private int pack() {
        packed.clear();
        packer.pack(epoch++, PAGES, indexes, pages, packed);
        return packed.readableBytes();
    }

    /** A plain copy. */
    @Benchmark
    @OperationsPerInvocation(PAGES)
    public ByteBuffer copy() {
        return copy.put(0, pages, 0, pages.capacity());
    }

    /** Eight bytes of each page changed. */
    @Benchmark
    @OperationsPerInvocation(PAGES)
    public int packOneWord() {
        changeOneWord();
        return pack();
    }

    /** Every tenth byte changed. */
    @Benchmark
    @OperationsPerInvocation(PAGES)
    public int packATenth() {
        for (int at = random.nextInt(10); at < pages.capacity(); at += 10) {
            pages.put(at, (byte) random.nextInt());
        }
        return pack();
    }

    /** All changed, which random bytes do not get smaller by. */
    @Benchmark
    @OperationsPerInvocation(PAGES)
    public int packAll() {
        changeAll();
        return pack();
    }

    /** What {@link #packOneWord} made. */
    @Benchmark
    @OperationsPerInvocation(PAGES)
    public int unpackOneWord() {
        whole.clear();
        unpacker.unpack(oneWord, (page, target) -> pages.get((int) page * PAGE_BYTES, target), whole);
        return whole.readableBytes();
    }
}
