package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.channel.FileRegion;
import io.vmft.blk.export.ExportView;
import io.vmft.proto.nbd.NbdError;
import io.vmft.proto.nbd.NbdHeaders;
import io.vmft.proto.nbd.NbdRequest;
import io.vmft.proto.nbd.NbdServerEncoder;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.LongAdder;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Carries out one connection's requests against its view: checks, calls storage, maps its failures, encodes the reply.
 * Every method may block and may be called by several threads at once.
 */
final class RequestExecutor {
    private static final Logger LOG = LoggerFactory.getLogger(RequestExecutor.class);

    /** Room for any reply without data; what storage says about a failure is cut to fit. */
    static final int PLAIN_REPLY_BYTES = 512;

    private static final int MAX_MESSAGE_CHARS = 150;

    /**
     * Why a request failed.
     *
     * @param fenced whether this view serves no more, so that the connection is to be cut after the reply
     * @param silent whether there is to be no reply: whoever still listens must see the connection end, and nothing of how
     */
    record Fault(NbdError error, String message, boolean fenced, boolean silent) {
        Fault(NbdError error, String message) {
            this(error, message, false, false);
        }
    }

    private static final Fault ENDED = new Fault(NbdError.ESHUTDOWN, "the connection has ended", true, true);

    private final String exportName;
    private final ViewLease lease;
    private final long sizeBytes;
    private final boolean readOnly;
    private final NbdHeaders headers;
    private final StatusReply status;
    private final LongAdder failures = new LongAdder();

    RequestExecutor(String exportName, ViewLease lease, NbdHeaders headers, StatusReply status) {
        this.exportName = exportName;
        this.lease = lease;
        this.sizeBytes = lease.view().sizeBytes();
        this.readOnly = lease.view().readOnly();
        this.headers = headers;
        this.status = status;
    }

    /** Whether a read may be answered in several chunks. */
    boolean mayFragment(NbdRequest.Read read) {
        return headers.chunked() && !read.noFragment() && isInside(read.offset(), read.lengthBytes());
    }

    /** How much room a request's reply needs at most. */
    int replyBytes(NbdRequest request) {
        return request instanceof NbdRequest.Read read && isInside(read.offset(), read.lengthBytes())
                ? Math.max(PLAIN_REPLY_BYTES, headers.dataHeaderBytes() + read.lengthBytes())
                : PLAIN_REPLY_BYTES;
    }

    /** The payload of a request or its reply, for limits. */
    int payloadBytes(NbdRequest request) {
        return switch (request) {
            case NbdRequest.Read read -> read.lengthBytes();
            case NbdRequest.Write write -> write.data().readableBytes();
            case NbdRequest.BlockStatus _ -> status.maxBytes();
            case NbdRequest.Flush _,
                    NbdRequest.Trim _,
                    NbdRequest.WriteZeroes _,
                    NbdRequest.Cache _,
                    NbdRequest.Disconnect _,
                    NbdRequest.Refused _ -> 0;
        };
    }

    static void release(NbdRequest request) {
        if (request instanceof NbdRequest.Write write) {
            write.data().release();
        }
    }

    /**
     * Carries out a request and appends the reply. Releases the request's data, whatever happens.
     *
     * @param out with at least {@link #replyBytes} writable
     * @return what was wrong, if anything; the client has its answer already
     */
    @Nullable
    Fault execute(NbdRequest request, ByteBuf out) {
        int start = out.writerIndex();
        @Nullable Fault fault = perform(request, request, true, out);
        if (out.writerIndex() == start) {
            answer(request, fault, out);
        }
        return fault;
    }

    /**
     * Carries out a request, or a piece of one. Appends a read's data, and nothing else: the answer is left to the caller, unless the
     * data is the answer. Releases the request's data, whatever happens.
     *
     * @param whole the request as the client made it: the same one unless {@code request} is a piece
     * @param last whether a read's data is the last chunk of the reply
     */
    @Nullable
    Fault perform(NbdRequest request, NbdRequest whole, boolean last, ByteBuf out) {
        if (!lease.enter()) {
            release(request);
            return ENDED;
        }
        int start = out.writerIndex();
        try {
            return dispatch(request, whole, last, lease.view(), out);
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            out.writerIndex(start);
            return failed(e);
        } finally {
            release(request);
            lease.exit();
        }
    }

    private Fault failed(Throwable failure) {
        if (!StorageErrors.isSilent(failure)) {
            report(failure);
        }
        return new Fault(
                StorageErrors.of(failure),
                String.valueOf(failure.getMessage()),
                StorageErrors.isFinal(failure),
                StorageErrors.isSilent(failure));
    }

    /**
     * What became of a write that was to wait for nobody.
     *
     * @param waits whether it might wait, so that nothing was done
     * @param fault what is wrong with it; null: nothing
     */
    record AtOnce(boolean waits, @Nullable Fault fault) {
        private static final AtOnce DONE = new AtOnce(false, null);
        private static final AtOnce WAITS = new AtOnce(true, null);
    }

    /** Carries out a write, or a piece of one, without its FUA, if that waits for nobody. Neither answers it nor releases its data. */
    AtOnce writeAtOnce(NbdRequest.Write write) {
        if (!lease.enter()) {
            return new AtOnce(false, ENDED);
        }
        try {
            ExportView view = lease.view();
            @Nullable Fault fault = check(write, view);
            if (fault != null) {
                return new AtOnce(false, fault);
            }
            return view.writeAtOnce(write.offset(), write.data()) ? AtOnce.DONE : AtOnce.WAITS;
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            return new AtOnce(false, failed(e));
        } finally {
            lease.exit();
        }
    }

    /** Whether changes are journaled, and {@link #writeAtOnce} and {@link #writeTogether} are to be tried first. */
    boolean journals() {
        return lease.view().journals();
    }

    /**
     * Carries out whole writes without FUA, as if one after the other, as far as they wait for nobody. Neither answers them nor releases
     * their data.
     *
     * @return how many of them, from the first on, were done; the others are to be carried out one by one
     */
    int writeTogether(List<NbdRequest.Write> writes) {
        if (!lease.enter()) {
            return 0;
        }
        try {
            ExportView view = lease.view();
            List<ExportView.Write> checked = new ArrayList<>(writes.size());
            for (NbdRequest.Write write : writes) {
                if (check(write, view) != null) {
                    break;
                }
                checked.add(new ExportView.Write(write.offset(), write.data()));
            }
            return view.writeTogether(checked);
        } catch (RuntimeException | OutOfMemoryError e) {
            report(e);
            return 0;
        } finally {
            lease.exit();
        }
    }

    /**
     * A read's data as part of a file, for the kernel to send behind {@link #dataHeader}.
     *
     * @return to be released; null: the read is to be carried out as any other
     */
    @Nullable
    FileRegion region(NbdRequest.Read read) {
        if (!isInside(read.offset(), read.lengthBytes()) || !lease.enter()) {
            return null;
        }
        try {
            return lease.view().region(read.offset(), read.lengthBytes());
        } catch (IOException _) {
            return null; // reading will fail the same way, and be answered
        } finally {
            lease.exit();
        }
    }

    /** Whether a flush, or a write's, would wait for nothing. */
    boolean flushesAtOnce() {
        return lease.view().flushesAtOnce();
    }

    /** A region could not be sent, for a reason that is not the client's. */
    void regionFailed(Throwable failure) {
        lease.view().regionFailed();
        report(failure);
    }

    /** Appends what stands before the whole data of a read. */
    void dataHeader(NbdRequest.Read read, ByteBuf out) {
        NbdServerEncoder.dataHeader(out, headers, read, true, read.offset(), read.lengthBytes());
    }

    private @Nullable Fault dispatch(NbdRequest request, NbdRequest whole, boolean last, ExportView view, ByteBuf out)
            throws IOException {
        @Nullable Fault fault = check(request, view);
        if (fault != null) {
            return fault;
        }
        switch (request) {
            case NbdRequest.Read read -> read(read, whole, last, view, out);
            case NbdRequest.Write write -> view.write(write.offset(), write.data(), write.fua());
            case NbdRequest.WriteZeroes zeroes ->
                view.writeZeroes(zeroes.offset(), zeroes.lengthBytes(), !zeroes.noHole(), zeroes.fua());
            case NbdRequest.Trim trim -> view.trim(trim.offset(), trim.lengthBytes(), trim.fua());
            case NbdRequest.Flush _ -> view.flush();
            case NbdRequest.Cache cache -> view.cache(cache.offset(), cache.lengthBytes());
            case NbdRequest.BlockStatus asked -> status.append(asked, view, out);
            case NbdRequest.Refused _, NbdRequest.Disconnect _ ->
                throw new IllegalArgumentException("not for storage: " + request);
        }
        return null;
    }

    private @Nullable Fault check(NbdRequest request, ExportView view) {
        return switch (request) {
            case NbdRequest.Read(long _, long offset, int lengthBytes, boolean _) ->
                isInside(offset, lengthBytes) ? null : pastTheEnd(NbdError.EINVAL);
            case NbdRequest.Write write ->
                checkChange(write.offset(), write.data().readableBytes() + write.remainingBytes(), NbdError.ENOSPC);
            case NbdRequest.WriteZeroes zeroes -> checkZeroes(zeroes, view);
            case NbdRequest.Trim trim -> checkChange(trim.offset(), trim.lengthBytes(), NbdError.EINVAL);
            case NbdRequest.Flush _ -> null;
            case NbdRequest.Cache cache ->
                isInside(cache.offset(), cache.lengthBytes()) ? null : pastTheEnd(NbdError.EINVAL);
            case NbdRequest.BlockStatus asked -> checkStatus(asked);
            case NbdRequest.Refused refused -> new Fault(refused.error(), refused.message());
            case NbdRequest.Disconnect _ -> null;
        };
    }

    private @Nullable Fault checkZeroes(NbdRequest.WriteZeroes zeroes, ExportView view) {
        @Nullable Fault fault = checkChange(zeroes.offset(), zeroes.lengthBytes(), NbdError.ENOSPC);
        if (fault == null && zeroes.fast() && !view.zeroesFast(!zeroes.noHole())) {
            return new Fault(NbdError.ENOTSUP, "zeroes would take as long as data");
        }
        return fault;
    }

    private @Nullable Fault checkStatus(NbdRequest.BlockStatus asked) {
        if (status.contexts().isEmpty()) {
            return new Fault(NbdError.EINVAL, "no metadata context was chosen for this export");
        }
        if (asked.lengthBytes() == 0) {
            return new Fault(NbdError.EINVAL, "the status of nothing");
        }
        return isInside(asked.offset(), asked.lengthBytes()) ? null : pastTheEnd(NbdError.EINVAL);
    }

    private @Nullable Fault checkChange(long offset, long lengthBytes, NbdError pastEnd) {
        if (readOnly) {
            return new Fault(NbdError.EPERM, exportName + " is read-only");
        }
        return isInside(offset, lengthBytes) ? null : pastTheEnd(pastEnd);
    }

    private static Fault pastTheEnd(NbdError error) {
        return new Fault(error, "the request goes past the end");
    }

    private boolean isInside(long offset, long lengthBytes) {
        return offset >= 0 && offset <= sizeBytes && lengthBytes >= 0 && lengthBytes <= sizeBytes - offset;
    }

    private void read(NbdRequest.Read read, NbdRequest whole, boolean last, ExportView view, ByteBuf out)
            throws IOException {
        int lengthBytes = read.lengthBytes();
        if (lengthBytes == 0) {
            return;
        }
        NbdServerEncoder.dataHeader(out, headers, whole, last, read.offset(), lengthBytes);
        int dataStart = out.writerIndex();
        view.read(read.offset(), lengthBytes, out);
        if (out.writerIndex() - dataStart != lengthBytes) {
            throw new IllegalStateException("storage read " + (out.writerIndex() - dataStart) + " bytes instead of "
                    + lengthBytes + " at " + read.offset());
        }
    }

    /**
     * Appends the last, or only, part of a reply; nothing more than {@value #PLAIN_REPLY_BYTES} bytes.
     *
     * @param fault null: it was carried out; a silent one appends nothing
     */
    void answer(NbdRequest request, @Nullable Fault fault, ByteBuf out) {
        if (fault != null && fault.silent()) {
            return;
        }
        if (fault == null) {
            NbdServerEncoder.success(out, headers, request);
        } else {
            String message = fault.message();
            NbdServerEncoder.failure(
                    out,
                    headers,
                    request,
                    fault.error(),
                    message.length() > MAX_MESSAGE_CHARS ? message.substring(0, MAX_MESSAGE_CHARS) : message);
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
