package io.vmft.blk.volume;

import io.vmft.blk.changes.ChangeMap;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportRefusedException.Reason;
import io.vmft.blk.export.ViewOwner;
import io.vmft.blk.overlay.Extent;
import io.vmft.blk.overlay.Layer;
import io.vmft.blk.overlay.Overlay;
import io.vmft.blk.snapshot.SavedBlocks;
import io.vmft.blk.snapshot.SnapshotSpace;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.ReentrantLock;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The points of one volume that are looked at now: {@code docs/decisions/committed-views.md}. Thread-safe.
 *
 * <p>Whoever changes the image says so before, through {@link #beforeChange} with the volume's gate shared, or {@link #beforeFold} on the
 * applier's thread. Locks, in this order: {@code opening}, the volume's gate, {@code registering}.
 */
public final class Pins {
    /** What follows the {@code @} in an export name, alone or with a label behind a dot. */
    static final String EXPORT = "committed";

    /** The name of the point that an operator's export reads. */
    static final String OPERATOR = EXPORT + ".operator-export";

    private static final Logger LOG = LoggerFactory.getLogger(Pins.class);
    private static final Pattern LABEL = Pattern.compile("[A-Za-z0-9_-]{1,64}");
    private static final int MAX_PINS = 8;

    private final Volume volume;
    private final SnapshotSpace space;
    private final ChangeMap changes;
    private final InstantSource clock;
    private final ReentrantLock opening = new ReentrantLock();
    private final ReentrantLock registering = new ReentrantLock();
    private final Set<CommittedView> views = ConcurrentHashMap.newKeySet();
    private volatile List<Pin> pins = List.of();
    /** Whether the image was written to directly since the newest point. */
    private volatile boolean changedDirectly = true;

    Pins(Volume volume, SnapshotSpace space, ChangeMap changes, InstantSource clock) {
        this.volume = volume;
        this.space = space;
        this.changes = changes;
        this.clock = clock;
        volume.overlay().resumePoint(changes.newest());
    }

    ChangeMap changes() {
        return changes;
    }

    /** Whether what follows the {@code @} names a committed view. */
    static boolean isNamedBy(String which) {
        return which.equals(EXPORT) || which.startsWith(EXPORT + ".");
    }

    private String label(String which) throws ExportRefusedException {
        if (which.equals(EXPORT)) {
            return "";
        }
        String label = which.substring(EXPORT.length() + 1);
        if (!LABEL.matcher(label).matches()) {
            throw new ExportRefusedException(
                    Reason.UNKNOWN,
                    volume.name() + "@" + EXPORT + ".LABEL: a label is 1 to 64 letters, digits, _ or -");
        }
        return label;
    }

    /**
     * A view of what is committed now, or of the point that others with the same name have open.
     *
     * @param which what follows the {@code @}
     * @throws ExportRefusedException if there are too many, or the point could not be made
     */
    CommittedView open(String which, ViewOwner owner) throws ExportRefusedException {
        String label = label(which);
        opening.lock();
        try {
            Pin pin = find(label);
            if (pin == null) {
                pin = make(label);
            }
            pin.views++;
            CommittedView view = new CommittedView(volume, pin, owner);
            views.add(view);
            return view;
        } catch (IOException e) {
            throw new ExportRefusedException(
                    Reason.POLICY, volume.name() + "@" + which + " cannot be opened: " + e.getMessage());
        } finally {
            opening.unlock();
        }
    }

    /** A view that only describes. */
    CommittedView look(String which) throws ExportRefusedException {
        return new CommittedView(volume, label(which));
    }

    /** Describes the point that others have open under the name, or one made for this. */
    String describe(String label) {
        opening.lock();
        try {
            Pin pin = find(label);
            if (pin != null) {
                return pin.description();
            }
            return makePoint((stand, vm) -> Pin.description(volume, stand, vm));
        } catch (IOException e) {
            return volume.offer().description() + ", committed, no point: " + e.getMessage();
        } finally {
            opening.unlock();
        }
    }

    private @Nullable Pin find(String label) {
        for (Pin pin : pins) {
            if (pin.label().equals(label) && pin.isWhole()) {
                return pin;
            }
        }
        return null;
    }

    private Pin make(String label) throws IOException, ExportRefusedException {
        if (pins.size() >= MAX_PINS) {
            throw new ExportRefusedException(
                    Reason.POLICY,
                    volume.name() + " has " + MAX_PINS + " committed views open; close one, or use the name of one");
        }
        SavedBlocks saved = new SavedBlocks(space, original, volume.image().sizeBytes());
        try {
            Pin pin = makePoint((stand, vm) -> {
                Pin made = new Pin(volume, label, stand, vm, saved);
                List<Pin> more = new ArrayList<>(pins);
                more.add(made);
                pins = List.copyOf(more);
                return made;
            });
            LOG.info("{}: point {} pinned for {}", volume.name(), pin.point(), label.isEmpty() ? EXPORT : label);
            return pin;
        } catch (IOException | RuntimeException e) {
            saved.close();
            throw e;
        }
    }

    private interface PointUse<T> {
        /** In one step with making the point, for whoever changes the image. Must not block. */
        T use(Overlay.Stand stand, @Nullable String vm);
    }

    private <T> T makePoint(PointUse<T> use) throws IOException {
        volume.checkAlive();
        // Newer than the last flush while the journal drains; elsewhere this does nothing.
        volume.commitOpen();
        while (true) {
            boolean changed = changedDirectly || volume.overlay().isChangedSincePoint();
            T result = tryPoint(changed ? changes.reserve(clock.millis()) : 0, use);
            if (result != null) {
                return result;
            }
        }
    }

    /**
     * Makes the point.
     *
     * @param next its number; 0: the newest point's, for nothing has changed since
     * @return null if something has
     */
    private <T> @Nullable T tryPoint(long next, PointUse<T> use) {
        volume.closeGate();
        registering.lock();
        try {
            if (next == 0 && changedDirectly) {
                return null;
            }
            Overlay.Stand stand = volume.overlay().pin(next);
            if (stand == null) {
                return null;
            }
            if (next != 0) {
                changes.begin(stand.point());
            }
            changedDirectly = false;
            return use.use(stand, volume.admission().heldBy());
        } finally {
            registering.unlock();
            volume.openGate();
        }
    }

    private final SavedBlocks.Original original = new SavedBlocks.Original() {
        @Override
        public void read(long offset, MemorySegment destination) throws IOException {
            volume.image().read(offset, destination);
        }

        @Override
        public long nextData(long offset) throws IOException {
            return volume.image().nextData(offset);
        }

        @Override
        public void readMarks(long firstBlock, MemorySegment destination) throws IOException {
            changes.read(firstBlock, destination);
        }
    };

    void close(CommittedView view, Pin pin) {
        if (!views.remove(view)) {
            return;
        }
        opening.lock();
        try {
            pin.views--;
            if (pin.views == 0) {
                forget(pin);
                pin.close();
            }
        } finally {
            opening.unlock();
        }
    }

    private void forget(Pin pin) {
        registering.lock();
        try {
            List<Pin> fewer = new ArrayList<>(pins);
            fewer.remove(pin);
            pins = List.copyOf(fewer);
        } finally {
            registering.unlock();
        }
    }

    /** A range of the image is about to change. Gate shared. */
    void beforeChange(long offset, long lengthBytes) {
        if (!changedDirectly) {
            changedDirectly = true;
        }
        for (Pin pin : pins) {
            pin.save(offset, lengthBytes);
        }
        changes.mark(offset, lengthBytes);
    }

    /** A committed layer is about to be folded into the image. For the applier. */
    public void beforeFold(Layer layer) {
        List<Pin> older;
        registering.lock();
        try {
            older = pins.stream()
                    .filter(pin -> pin.point() <= layer.afterPoint())
                    .toList();
        } finally {
            registering.unlock();
        }
        for (Extent extent : layer.extents()) {
            long lengthBytes = extent.end() - extent.start();
            for (Pin pin : older) {
                pin.save(extent.start(), lengthBytes);
            }
            changes.markAfter(layer.afterPoint(), extent.start(), lengthBytes);
        }
    }

    /** Ends every view. */
    void revokeAll() {
        views.forEach(CommittedView::revoke);
    }

    /** Closes what is left. No view may be in use. */
    void closeAll() {
        views.forEach(CommittedView::close);
    }
}
