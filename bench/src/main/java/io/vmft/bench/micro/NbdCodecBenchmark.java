package io.vmft.bench.micro;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.embedded.EmbeddedChannel;
import io.vmft.proto.nbd.NbdClientEncoder;
import io.vmft.proto.nbd.NbdClientFlags;
import io.vmft.proto.nbd.NbdHeaders;
import io.vmft.proto.nbd.NbdRequest;
import io.vmft.proto.nbd.NbdServerDecoder;
import io.vmft.proto.nbd.NbdServerEncoder;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** Batches of {@value #REQUESTS} requests, as a client with that queue depth sends them. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class NbdCodecBenchmark {
    private static final int REQUESTS = 32;
    private static final int BLOCK_BYTES = 4096;

    private final ByteBuf reads = Unpooled.directBuffer();
    private final ByteBuf writes = Unpooled.directBuffer();
    private final ByteBuf replies = Unpooled.directBuffer(REQUESTS * NbdHeaders.STRUCTURED.dataHeaderBytes());
    private final NbdRequest request = new NbdRequest.Read(7, 0, BLOCK_BYTES, false);
    private final NbdRequest flush = new NbdRequest.Flush(8);
    private EmbeddedChannel channel = new EmbeddedChannel();
    private long checksum;

    /** Prepares the bytes and brings a decoder into the transmission phase. */
    @Setup
    public void prepare() {
        for (int i = 0; i < REQUESTS; i++) {
            NbdClientEncoder.request(
                    reads, NbdHeaders.STRUCTURED, new NbdRequest.Read(i, (long) i * BLOCK_BYTES, BLOCK_BYTES, false));
            ByteBuf data = Unpooled.buffer(BLOCK_BYTES).writeZero(BLOCK_BYTES);
            NbdClientEncoder.request(
                    writes, NbdHeaders.STRUCTURED, new NbdRequest.Write(i, (long) i * BLOCK_BYTES, data, false));
            writes.writeBytes(data);
        }
        NbdServerDecoder decoder = new NbdServerDecoder();
        channel = new EmbeddedChannel(decoder, new Receiver());
        channel.config().setAllocator(PooledByteBufAllocator.DEFAULT);
        ByteBuf flags = Unpooled.buffer();
        NbdClientEncoder.clientFlags(flags, new NbdClientFlags(true, true));
        channel.writeInbound(flags);
        decoder.startTransmission(NbdHeaders.STRUCTURED);
    }

    /** Gives the buffers back. */
    @TearDown
    public void release() {
        channel.finishAndReleaseAll();
        reads.release();
        writes.release();
        replies.release();
    }

    private final class Receiver extends ChannelInboundHandlerAdapter {
        @Override
        public void channelRead(ChannelHandlerContext ctx, Object message) {
            if (message instanceof NbdRequest request) {
                checksum += request.cookie();
                if (request instanceof NbdRequest.Write write) {
                    checksum += write.data().readableBytes();
                    write.data().release();
                }
            }
        }
    }

    /** Decodes 4 KiB reads. */
    @Benchmark
    @OperationsPerInvocation(REQUESTS)
    public long decodeRead() {
        channel.writeInbound(reads.retainedDuplicate());
        return checksum;
    }

    /** Decodes 4 KiB writes that arrived whole. */
    @Benchmark
    @OperationsPerInvocation(REQUESTS)
    public long decodeWrite() {
        channel.writeInbound(writes.retainedDuplicate());
        return checksum;
    }

    /** Decodes 4 KiB writes, each batch cut in two at an odd place. */
    @Benchmark
    @OperationsPerInvocation(REQUESTS)
    public long decodeSplitWrite() {
        int cut = writes.readableBytes() / 2 + 1234;
        channel.writeInbound(writes.retainedSlice(0, cut));
        channel.writeInbound(writes.retainedSlice(cut, writes.readableBytes() - cut));
        return checksum;
    }

    /** Encodes what stands before a read's data. */
    @Benchmark
    @OperationsPerInvocation(REQUESTS)
    public int encodeDataHeader() {
        replies.clear();
        for (int i = 0; i < REQUESTS; i++) {
            NbdServerEncoder.dataHeader(
                    replies, NbdHeaders.STRUCTURED, request, true, (long) i * BLOCK_BYTES, BLOCK_BYTES);
        }
        return replies.writerIndex();
    }

    /** Encodes a write's reply. */
    @Benchmark
    @OperationsPerInvocation(REQUESTS)
    public int encodeSimpleReply() {
        replies.clear();
        for (int i = 0; i < REQUESTS; i++) {
            NbdServerEncoder.success(replies, NbdHeaders.STRUCTURED, flush);
        }
        return replies.writerIndex();
    }
}
