package io.vmft.blk.volume;

import io.netty.buffer.ByteBuf;
import io.vmft.blk.export.BlockStatus;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.journal.RecordKind;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;

/** One connection's view: the generation it came with, checked at every call. */
final class VolumeView implements ExportView {
    private final Volume volume;
    private final long generation;
    private final Runnable onRevoked;
    private final AtomicBoolean revoked = new AtomicBoolean();

    VolumeView(Volume volume, long generation, Runnable onRevoked) {
        this.volume = volume;
        this.generation = generation;
        this.onRevoked = onRevoked;
    }

    long generation() {
        return generation;
    }

    @Override
    public long sizeBytes() {
        return volume.image().sizeBytes();
    }

    @Override
    public boolean readOnly() {
        return volume.image().readOnly();
    }

    @Override
    public void read(long offset, int lengthBytes, ByteBuf destination) throws IOException {
        volume.checkAlive();
        boolean committedOnly = role() == Admission.Role.STANDBY;
        if (lengthBytes == 0) {
            return;
        }
        int writerIndex = destination.writerIndex();
        Bytes.append(destination, lengthBytes, memory -> volume.reader().read(offset, memory, committedOnly));
        // What was read while the generation was fenced may be its successor's.
        if (revoked.get() || volume.roleOf(generation) == Admission.Role.NONE) {
            destination.writerIndex(writerIndex);
            throw volume.fenced(generation);
        }
    }

    @Override
    public void write(long offset, ByteBuf source, boolean fua) throws IOException {
        checkOpen();
        if (source.isReadable()) {
            Bytes.read(
                    source, memory -> volume.change(generation, RecordKind.WRITE, offset, memory.byteSize(), memory));
        }
        flushIf(fua);
    }

    @Override
    public void writeZeroes(long offset, long lengthBytes, boolean punchHole, boolean fua) throws IOException {
        clear(punchHole ? RecordKind.TRIM : RecordKind.ZERO, offset, lengthBytes, fua);
    }

    @Override
    public void trim(long offset, long lengthBytes, boolean fua) throws IOException {
        clear(RecordKind.TRIM, offset, lengthBytes, fua);
    }

    @Override
    public boolean zeroesFast(boolean punchHole) {
        return volume.mode() != WriteMode.DIRECT;
    }

    @Override
    public void cache(long offset, long lengthBytes) throws IOException {
        checkOpen();
    }

    @Override
    public List<String> contexts(String query, boolean list) {
        boolean asked = list ? BlockStatus.ALLOCATION.startsWith(query) && query.endsWith(":") : false;
        return asked || query.equals(BlockStatus.ALLOCATION) ? List.of(BlockStatus.ALLOCATION) : List.of();
    }

    /** Everything counts as data. */
    @Override
    public List<BlockStatus> blockStatus(String context, long offset, long lengthBytes, int limit) throws IOException {
        checkOpen();
        return List.of(new BlockStatus(lengthBytes, 0));
    }

    @Override
    public String description() {
        return "vmft volume " + volume.name();
    }

    private void clear(RecordKind kind, long offset, long lengthBytes, boolean fua) throws IOException {
        checkOpen();
        if (lengthBytes > 0) {
            volume.change(generation, kind, offset, lengthBytes, null);
        }
        flushIf(fua);
    }

    @Override
    public void flush() throws IOException {
        flushIf(true);
    }

    private void flushIf(boolean asked) throws IOException {
        if (asked && role() == Admission.Role.PRIMARY && !readOnly()) {
            volume.flush();
            role();
        }
    }

    private Admission.Role role() throws IOException {
        checkOpen();
        Admission.Role role = volume.roleOf(generation);
        if (role == Admission.Role.NONE) {
            throw volume.fenced(generation);
        }
        return role;
    }

    private void checkOpen() throws IOException {
        if (revoked.get()) {
            throw volume.fenced(generation);
        }
    }

    void revoke() {
        if (revoked.compareAndSet(false, true)) {
            volume.forget(this);
            onRevoked.run();
        }
    }

    @Override
    public void close() {
        volume.forget(this);
    }
}
