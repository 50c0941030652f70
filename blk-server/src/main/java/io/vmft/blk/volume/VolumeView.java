package io.vmft.blk.volume;

import io.netty.buffer.ByteBuf;
import io.netty.channel.FileRegion;
import io.vmft.blk.export.BlockStatus;
import io.vmft.blk.export.DisplacedException;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.ViewOwner;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.overlay.Horizon;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/** One connection's view: the generation it came with and whether it still has its place, checked at every call. */
final class VolumeView implements ExportView, Roster.Member {
    /** At most so much is read ahead at once: a client's hint is no order. */
    static final long MAX_READ_AHEAD_BYTES = 32 << 20;

    private final Volume volume;
    private final long generation;
    private final ExportName.@Nullable Session session;
    private final ViewOwner owner;
    private final AtomicBoolean told = new AtomicBoolean();
    private volatile boolean revoked;
    /** Why it has lost its place; null: it has it. */
    private volatile @Nullable String displaced;

    VolumeView(Volume volume, long generation, ExportName.@Nullable Session session, ViewOwner owner) {
        this.volume = volume;
        this.generation = generation;
        this.session = session;
        this.owner = owner;
    }

    @Override
    public long generation() {
        return generation;
    }

    @Override
    public ExportName.@Nullable Session session() {
        return session;
    }

    @Override
    public boolean isGone() {
        return owner.isGone();
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
    public boolean multiConn() {
        return readOnly()
                || session != null
                || (generation == Admission.BARE && !volume.entrance().exclusive());
    }

    @Override
    public void read(long offset, int lengthBytes, ByteBuf destination) throws IOException {
        volume.checkAlive();
        Horizon horizon = horizon();
        if (lengthBytes == 0) {
            return;
        }
        int writerIndex = destination.writerIndex();
        Bytes.append(destination, lengthBytes, memory -> volume.reader().read(offset, memory, horizon));
        // What was read while the generation was fenced may be its successor's.
        try {
            role();
        } catch (IOException e) {
            destination.writerIndex(writerIndex);
            throw e;
        }
    }

    @Override
    public @Nullable FileRegion region(long offset, int lengthBytes) throws IOException {
        volume.checkAlive();
        role();
        return volume.mode() == WriteMode.DIRECT && volume.overlay().isEmpty()
                ? volume.image().region(offset, lengthBytes)
                : null;
    }

    @Override
    public void regionFailed() {
        volume.image().regionFailed();
    }

    @Override
    public void write(long offset, ByteBuf source, boolean fua) throws IOException {
        checkOpen();
        if (source.isReadable()) {
            Bytes.read(source, memory -> volume.change(this, RecordKind.WRITE, offset, memory.byteSize(), memory));
        }
        flushIf(fua);
    }

    @Override
    public boolean journals() {
        return volume.mode() != WriteMode.DIRECT;
    }

    @Override
    public boolean writeAtOnce(long offset, ByteBuf source) throws IOException {
        checkOpen();
        MemorySegment data = Bytes.inPlace(source);
        return data != null && data.byteSize() > 0 && volume.journalAtOnce(this, offset, data);
    }

    @Override
    public int writeTogether(List<Write> writes) {
        return volume.journalTogether(this, writes);
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
        return volume.mode() != WriteMode.DIRECT || volume.image().clearsFast(punchHole);
    }

    @Override
    public void cache(long offset, long lengthBytes) throws IOException {
        volume.checkAlive();
        volume.reader().readAhead(offset, Math.min(lengthBytes, MAX_READ_AHEAD_BYTES), horizon());
    }

    @Override
    public List<String> contexts(String query, boolean list) {
        boolean asked = list && (query.isEmpty() || query.endsWith(":")) && BlockStatus.ALLOCATION.startsWith(query);
        return asked || query.equals(BlockStatus.ALLOCATION) ? List.of(BlockStatus.ALLOCATION) : List.of();
    }

    @Override
    public List<BlockStatus> blockStatus(String context, long offset, long lengthBytes, int limit) throws IOException {
        volume.checkAlive();
        StatusList list = new StatusList(offset, lengthBytes, limit);
        volume.allocation().fill(list, offset + lengthBytes, horizon());
        List<BlockStatus> found = list.finish();
        role();
        return found;
    }

    @Override
    public String description() {
        Admission admission = volume.admission();
        if (admission.heldBy() == null) {
            return volume.offer().description();
        }
        String side = generation == admission.standby() ? "standby" : "primary";
        long epoch = volume.overlay().committedEpoch();
        return volume.offer().description() + ", VM " + admission.heldBy() + ", " + side + ", generation " + generation
                + (epoch == 0 ? "" : ", committed epoch " + epoch);
    }

    private Horizon horizon() throws IOException {
        return role() == Admission.Role.STANDBY ? Horizon.COMMITTED : Horizon.NEWEST;
    }

    private void clear(RecordKind kind, long offset, long lengthBytes, boolean fua) throws IOException {
        checkOpen();
        if (lengthBytes > 0) {
            volume.change(this, kind, offset, lengthBytes, null);
        }
        flushIf(fua);
    }

    @Override
    public boolean flushesAtOnce() {
        return volume.flushesAtOnce();
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

    /** Fails if the view is served no more: its generation is fenced or a newer connection has its place. */
    void checkOpen() throws IOException {
        String why = displaced;
        if (why != null) {
            throw new DisplacedException(volume.name() + ": " + why);
        }
        if (revoked) {
            throw volume.fenced(generation);
        }
    }

    @Override
    public void displace(String why) {
        displaced = why;
    }

    /** Whether another connection has this one's place. */
    boolean isDisplaced() {
        return displaced != null;
    }

    void revoke() {
        revoked = true;
        tellOwner();
    }

    /** Tells the owner, once, that the view is served no more. Not under any lock. */
    void tellOwner() {
        if (told.compareAndSet(false, true)) {
            volume.forget(this);
            String why = displaced;
            owner.revoked(why == null ? "its export is served no more" : why);
        }
    }

    @Override
    public void close() {
        volume.forget(this);
    }
}
