package io.vmft.blk.volume;

import io.netty.buffer.ByteBuf;
import io.vmft.blk.export.BlockStatus;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.ViewOwner;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** One connection's read-only view of a volume's point. What it reads does not change as long as it is open. */
public final class CommittedView implements ExportView {
    private static final Pattern POINT = Pattern.compile("[1-9][0-9]{0,17}");

    /** So many points, the newest, are shown to whoever lists contexts. */
    private static final int LISTED_POINTS = 16;

    private final Volume volume;
    /** Null: it only describes. */
    private final @Nullable Pin pin;

    /** For {@link Pins}, in which it names the point. */
    private final String label;

    private final ViewOwner owner;
    private final AtomicBoolean told = new AtomicBoolean();
    private volatile boolean revoked;

    CommittedView(Volume volume, Pin pin, ViewOwner owner) {
        this.volume = volume;
        this.pin = pin;
        this.label = pin.label();
        this.owner = owner;
    }

    CommittedView(Volume volume, String label) {
        this.volume = volume;
        this.pin = null;
        this.label = label;
        this.owner = _ -> {};
    }

    private Pin pin() throws IOException {
        if (pin == null || revoked) {
            throw new IOException(volume.name() + "@" + Pins.EXPORT + ": this view is served no more");
        }
        return pin;
    }

    /** The epoch that was committed last when the point was made; 0: nothing was journaled by epoch. */
    public long epoch() throws IOException {
        return pin().epoch();
    }

    @Override
    public long sizeBytes() {
        return volume.image().sizeBytes();
    }

    @Override
    public boolean readOnly() {
        return true;
    }

    @Override
    public boolean multiConn() {
        return true;
    }

    @Override
    public void read(long offset, int lengthBytes, ByteBuf destination) throws IOException {
        Pin from = pin();
        if (lengthBytes > 0) {
            Bytes.append(destination, lengthBytes, memory -> from.read(offset, memory));
        }
    }

    @Override
    public void write(long offset, ByteBuf source, boolean fua) throws IOException {
        throw readOnlyFailure();
    }

    @Override
    public void writeZeroes(long offset, long lengthBytes, boolean punchHole, boolean fua) throws IOException {
        throw readOnlyFailure();
    }

    @Override
    public void trim(long offset, long lengthBytes, boolean fua) throws IOException {
        throw readOnlyFailure();
    }

    private IOException readOnlyFailure() {
        return new IOException(volume.name() + "@" + Pins.EXPORT + " is read-only");
    }

    @Override
    public boolean zeroesFast(boolean punchHole) {
        return false;
    }

    @Override
    public void flush() throws IOException {
        pin();
    }

    @Override
    public void cache(long offset, long lengthBytes) throws IOException {
        pin().readAhead(offset, Math.min(lengthBytes, VolumeView.MAX_READ_AHEAD_BYTES));
    }

    @Override
    public List<String> contexts(String query, boolean list) {
        List<String> found = new ArrayList<>();
        if (query.equals(BlockStatus.ALLOCATION) || (list && isPrefix(query, BlockStatus.ALLOCATION))) {
            found.add(BlockStatus.ALLOCATION);
        }
        if (list && isPrefix(query, BlockStatus.EPOCH_DIRTY)) {
            List<Long> points = volume.pins().changes().points();
            points.subList(Math.max(0, points.size() - LISTED_POINTS), points.size())
                    .forEach(point -> found.add(BlockStatus.EPOCH_DIRTY + point));
        } else if (point(query) > 0 && point(query) <= volume.pins().changes().newest()) {
            found.add(query);
        }
        return found;
    }

    /** Whether the query asks for a whole namespace, or for all of them. */
    private static boolean isPrefix(String query, String name) {
        return query.isEmpty() || (query.endsWith(":") && name.startsWith(query));
    }

    /** The point that a context's name ends in; 0: none. */
    private static long point(String context) {
        if (!context.startsWith(BlockStatus.EPOCH_DIRTY)) {
            return 0;
        }
        String digits = context.substring(BlockStatus.EPOCH_DIRTY.length());
        return POINT.matcher(digits).matches() ? Long.parseLong(digits) : 0;
    }

    @Override
    public List<BlockStatus> blockStatus(String context, long offset, long lengthBytes, int limit) throws IOException {
        long since = point(context);
        return since == 0
                ? pin().allocation(offset, lengthBytes, limit)
                : pin().changes(since, offset, lengthBytes, limit);
    }

    @Override
    public String description() {
        return pin == null ? volume.pins().describe(label) : pin.description();
    }

    void revoke() {
        revoked = true;
        if (told.compareAndSet(false, true)) {
            owner.revoked("its export is served no more");
        }
    }

    @Override
    public void close() {
        if (pin != null) {
            volume.pins().close(this, pin);
        }
    }
}
