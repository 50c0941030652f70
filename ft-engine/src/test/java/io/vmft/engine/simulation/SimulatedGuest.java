package io.vmft.engine.simulation;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.proto.checkpoint.Frame;
import java.util.ArrayDeque;

/**
 * A guest that counts, in one QEMU behind one net gate. Each step raises its version, in one of its pages and on disk; when
 * the disk acknowledged the flush, it sends the version out. So memory, disk and output of one moment are one number.
 */
final class SimulatedGuest {
    static final int PAGES = 2;

    private record Held(long epoch, int version) {}

    private final SimulatedHost host;
    private final SimulatedStorage storage;
    private final SimulatedNetwork network;
    private final Outside outside;
    private final Schedule schedule;
    private final long export;

    private int version;
    private int sent;
    private final int[] memory;
    private int dirty = (1 << PAGES) - 1;
    private boolean paused;
    private boolean diskWaits;
    /** The newest version is in memory, and its write waits. */
    private boolean unwritten;

    private boolean ended;
    private boolean holding;
    private long openEpoch;
    private final ArrayDeque<Held> held = new ArrayDeque<>();

    SimulatedGuest(
            Schedule schedule,
            SimulatedHost host,
            SimulatedStorage storage,
            SimulatedNetwork network,
            Outside outside,
            long export,
            int version,
            int[] memory) {
        this.schedule = schedule;
        this.host = host;
        this.storage = storage;
        this.network = network;
        this.outside = outside;
        this.export = export;
        this.version = version;
        this.sent = version;
        this.memory = memory;
        step();
    }

    /** What a guest that counted to {@code version} has in its memory. */
    static int[] memoryOf(int version) {
        int[] memory = new int[PAGES];
        for (int i = Math.max(1, version - PAGES + 1); i <= version; i++) {
            memory[i % PAGES] = i;
        }
        return memory;
    }

    private void step() {
        if (ended) {
            return;
        }
        if (!paused
                && host.guestRuns()
                && network.connects(host.number(), SimulatedNetwork.STORAGE)
                && storage.serves(export)) {
            if (unwritten) {
                writeWhatWaits();
            } else if (sent == version) {
                outside.check(
                        diskWaits || storage.read() == version,
                        host.name() + " wrote version " + version + " and reads " + storage.read());
                version++;
                memory[version % PAGES] = version;
                dirty |= 1 << (version % PAGES);
                unwritten = true;
                writeWhatWaits();
            } else if (!diskWaits && storage.flush()) {
                sent = version;
                send(version);
            }
        }
        host.later(schedule.between(1, 3), this::step);
    }

    private void writeWhatWaits() {
        if (unwritten && !diskWaits) {
            storage.write(version);
            unwritten = false;
        }
    }

    private void send(int frame) {
        if (holding) {
            held.add(new Held(openEpoch, frame));
        } else {
            outside.sees(host.name(), frame, storage.isHeldBy(export));
        }
    }

    long export() {
        return export;
    }

    int version() {
        return version;
    }

    /** Its disk is drained; false while the block server cannot be reached for that. */
    boolean pause() {
        if (unwritten && !(network.connects(host.number(), SimulatedNetwork.STORAGE) && storage.serves(export))) {
            return false;
        }
        writeWhatWaits();
        paused = true;
        return true;
    }

    /** What it writes waits, as long as an epoch that ended is not sealed. */
    void holdDisk(boolean hold) {
        diskWaits = hold;
    }

    void resume() {
        paused = false;
    }

    /** The net gate's mark: from the first one on output is held. */
    void mark(long epoch) {
        holding = true;
        openEpoch = epoch + 1;
    }

    void release(long epoch) {
        for (Held first = held.peek(); first != null && first.epoch <= epoch; first = held.peek()) {
            held.remove();
            outside.sees(host.name(), first.version, storage.isHeldBy(export));
        }
    }

    void open() {
        release(Long.MAX_VALUE);
        holding = false;
    }

    /** Which pages are dirty; they are not any more. */
    int harvest() {
        int harvested = dirty;
        dirty = 0;
        return harvested;
    }

    void dirtyAgain(int pages) {
        dirty |= pages;
    }

    /** Pages as they cross the wire. */
    ByteBuf copy(int pages) {
        int count = Integer.bitCount(pages);
        ByteBuf payload = Unpooled.buffer(8 + count * (8 + Frame.PAGE_BYTES));
        payload.writeInt(count).writeInt(count);
        for (int i = 0; i < PAGES; i++) {
            if ((pages & 1 << i) != 0) {
                payload.writeLongLE(i);
            }
        }
        for (int i = 0; i < PAGES; i++) {
            if ((pages & 1 << i) != 0) {
                payload.writeInt(memory[i]).writeZero(Frame.PAGE_BYTES - 4);
            }
        }
        return payload;
    }

    boolean isEnded() {
        return ended;
    }

    /** QEMU is killed: nothing more gets out. */
    void kill() {
        ended = true;
        held.clear();
    }
}
