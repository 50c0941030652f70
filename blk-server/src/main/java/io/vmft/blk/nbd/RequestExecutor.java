package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.vmft.blk.export.ExportView;
import io.vmft.proto.nbd.NbdError;
import io.vmft.proto.nbd.NbdRequest;
import io.vmft.proto.nbd.NbdServerEncoder;
import java.io.IOException;
import java.util.concurrent.atomic.LongAdder;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Carries out one connection's requests against its view: checks, calls storage, maps its failures, encodes the reply.
 * Every method may block and may be called by several threads at once.
 */
final class RequestExecutor {
    private static final Logger LOG = LoggerFactory.getLogger(RequestExecutor.class);

    /** Room for any reply without data; what storage says about a failure is cut to fit. */
    private static final int PLAIN_REPLY_BYTES = 512;

    private static final int MAX_MESSAGE_CHARS = 150;

    /** What became of a request. */
    enum Outcome {
        ANSWERED,
        /** Answered with an error after which this view serves no more: the connection is to be cut. */
        FENCED,
        /** The connection has ended before the call began: nothing was done, and there is no reply. */
        DROPPED
    }

    private final String exportName;
    private final ViewLease lease;
    private final long sizeBytes;
    private final boolean readOnly;
    private final boolean structured;
    private final LongAdder failures = new LongAdder();

    RequestExecutor(String exportName, ViewLease lease, boolean structured) {
        this.exportName = exportName;
        this.lease = lease;
        this.sizeBytes = lease.view().sizeBytes();
        this.readOnly = lease.view().readOnly();
        this.structured = structured;
    }

    /** How much room a request's reply needs at most. */
    static int replyBytes(NbdRequest request) {
        return request instanceof NbdRequest.Read read
                ? Math.max(PLAIN_REPLY_BYTES, NbdServerEncoder.DATA_HEADER_BYTES + read.lengthBytes())
                : PLAIN_REPLY_BYTES;
    }

    /**
     * Carries out a request and appends the reply. Releases the request's data, whatever happens.
     *
     * @param out with at least {@link #replyBytes} writable
     */
    Outcome execute(NbdRequest request, ByteBuf out) {
        if (!lease.enter()) {
            release(request);
            return Outcome.DROPPED;
        }
        int start = out.writerIndex();
        try {
            dispatch(request, lease.view(), out);
            return Outcome.ANSWERED;
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            out.writerIndex(start);
            report(e);
            fail(request, StorageErrors.of(e), String.valueOf(e.getMessage()), out);
            return StorageErrors.isFinal(e) ? Outcome.FENCED : Outcome.ANSWERED;
        } finally {
            release(request);
            lease.exit();
        }
    }

    private static void release(NbdRequest request) {
        if (request instanceof NbdRequest.Write write) {
            write.data().release();
        }
    }

    private void dispatch(NbdRequest request, ExportView view, ByteBuf out) throws IOException {
        switch (request) {
            case NbdRequest.Read read -> {
                if (isInside(read.offset(), read.lengthBytes())) {
                    read(read, view, out);
                } else {
                    fail(read, NbdError.EINVAL, "the read goes past the end", out);
                }
            }
            case NbdRequest.Write write -> {
                if (mayChange(write, write.offset(), write.data().readableBytes(), NbdError.ENOSPC, out)) {
                    view.write(write.offset(), write.data(), write.fua());
                    succeed(write, out);
                }
            }
            case NbdRequest.WriteZeroes zeroes -> {
                if (mayChange(zeroes, zeroes.offset(), zeroes.lengthBytes(), NbdError.ENOSPC, out)) {
                    view.writeZeroes(zeroes.offset(), zeroes.lengthBytes(), !zeroes.noHole(), zeroes.fua());
                    succeed(zeroes, out);
                }
            }
            case NbdRequest.Trim trim -> {
                if (mayChange(trim, trim.offset(), trim.lengthBytes(), NbdError.EINVAL, out)) {
                    view.trim(trim.offset(), trim.lengthBytes(), trim.fua());
                    succeed(trim, out);
                }
            }
            case NbdRequest.Flush flush -> {
                view.flush();
                succeed(flush, out);
            }
            case NbdRequest.Cache cache -> fail(cache, NbdError.EINVAL, "this server does not cache", out);
            case NbdRequest.Refused refused -> fail(refused, refused.error(), refused.message(), out);
            case NbdRequest.Disconnect _ -> throw new IllegalArgumentException("a disconnect has no reply");
        }
    }

    private void read(NbdRequest.Read read, ExportView view, ByteBuf out) throws IOException {
        int lengthBytes = read.lengthBytes();
        if (lengthBytes == 0) {
            succeed(read, out);
            return;
        }
        if (structured) {
            NbdServerEncoder.dataHeader(out, read.cookie(), true, read.offset(), lengthBytes);
        } else {
            NbdServerEncoder.simpleReply(out, read.cookie(), NbdError.OK);
        }
        int dataStart = out.writerIndex();
        view.read(read.offset(), lengthBytes, out);
        if (out.writerIndex() - dataStart != lengthBytes) {
            throw new IllegalStateException("storage read " + (out.writerIndex() - dataStart) + " bytes instead of "
                    + lengthBytes + " at " + read.offset());
        }
    }

    private boolean mayChange(NbdRequest request, long offset, long lengthBytes, NbdError pastEnd, ByteBuf out) {
        if (readOnly) {
            fail(request, NbdError.EPERM, exportName + " is read-only", out);
            return false;
        }
        if (!isInside(offset, lengthBytes)) {
            fail(request, pastEnd, "the range goes past the end", out);
            return false;
        }
        return true;
    }

    private boolean isInside(long offset, long lengthBytes) {
        return offset >= 0 && offset <= sizeBytes && lengthBytes <= sizeBytes - offset;
    }

    private void succeed(NbdRequest request, ByteBuf out) {
        if (structured && request instanceof NbdRequest.Read) {
            NbdServerEncoder.none(out, request.cookie());
        } else {
            NbdServerEncoder.simpleReply(out, request.cookie(), NbdError.OK);
        }
    }

    private void fail(NbdRequest request, NbdError error, String message, ByteBuf out) {
        if (structured) {
            NbdServerEncoder.failure(
                    out,
                    request.cookie(),
                    error,
                    message.length() > MAX_MESSAGE_CHARS ? message.substring(0, MAX_MESSAGE_CHARS) : message);
        } else {
            NbdServerEncoder.simpleReply(out, request.cookie(), error);
        }
    }

    /** A line for the first failure of a connection, then ever fewer. */
    private void report(Throwable failure) {
        failures.increment();
        long count = failures.sum();
        if (Long.bitCount(count) == 1) {
            if (failure instanceof IOException) {
                LOG.warn(
                        "export {}: {} (failed requests of this connection: {})",
                        exportName,
                        failure.getMessage(),
                        count);
            } else {
                LOG.error(
                        "export {}: a request failed (failed requests of this connection: {})",
                        exportName,
                        count,
                        failure);
            }
        }
    }
}
