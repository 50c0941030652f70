package io.vmft.blk.changes;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What is remembered durably of a volume's change map, beside its marks.
 *
 * @param newest the newest point ever given out; 0: none
 * @param mapId of the file with the marks; 0: none
 * @param points those the marks can answer for, rising
 * @param bootId of the host when it was last opened
 * @param stamp of the image then, or at a clean end; null: never opened
 * @param clean whether the server that had it open synced everything and ended
 */
record ChangeState(
        long newest,
        long mapId,
        List<Long> points,
        String bootId,
        @Nullable ImageStamp stamp,
        boolean clean) {
    static final int MAX_POINTS = 8192;
    static final ChangeState NONE = new ChangeState(0, 0, List.of(), "", null, true);

    private static final byte FORMAT = 1;

    ChangeState {
        points = List.copyOf(points);
    }

    /** Whether what is known held until now, for a server that opens the image now. */
    boolean stillHolds(ImageStamp now, String currentBootId, boolean suspect) {
        if (suspect || stamp == null || !stamp.isSameFile(now)) {
            return false;
        }
        return clean ? stamp.equals(now) : bootId.equals(currentBootId);
    }

    /** After a clean end by nobody. */
    ChangeState opened(ImageStamp now, String currentBootId) {
        return new ChangeState(newest, mapId, points, currentBootId, now, false);
    }

    ChangeState closed(ImageStamp now) {
        return new ChangeState(newest, mapId, points, bootId, now, true);
    }

    ChangeState forgotten() {
        return new ChangeState(newest, 0, List.of(), bootId, stamp, clean);
    }

    ChangeState with(long point, long map) {
        List<Long> next = new ArrayList<>(points);
        next.add(point);
        return new ChangeState(
                point, map, next.subList(Math.max(0, next.size() - MAX_POINTS), next.size()), bootId, stamp, clean);
    }

    /** Only the number: the marks do not answer for it. */
    ChangeState withUnknown(long point) {
        return new ChangeState(point, mapId, points, bootId, stamp, clean);
    }

    /**
     * As it is stored.
     *
     * <pre>
     *   u8 FORMAT, u64 newest, u64 map id, u8 clean, boot id (u16 length, UTF-8),
     *   u8 stamp present, u64 device, u64 inode, u64 size, u64 changed,
     *   u16 count, count × u64 point
     * </pre>
     */
    byte[] encode() {
        try (ByteArrayOutputStream bytes = new ByteArrayOutputStream();
                DataOutputStream out = new DataOutputStream(bytes)) {
            out.writeByte(FORMAT);
            out.writeLong(newest);
            out.writeLong(mapId);
            out.writeBoolean(clean);
            out.writeUTF(bootId);
            out.writeBoolean(stamp != null);
            ImageStamp some = stamp == null ? new ImageStamp(0, 0, 0, 0) : stamp;
            out.writeLong(some.device());
            out.writeLong(some.inode());
            out.writeLong(some.sizeBytes());
            out.writeLong(some.changedNanos());
            out.writeShort(points.size());
            for (long point : points) {
                out.writeLong(point);
            }
            return bytes.toByteArray();
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    /** What {@link #encode} made. */
    static ChangeState decode(byte[] stored) throws IOException {
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(stored))) {
            int format = in.readUnsignedByte();
            if (format != FORMAT) {
                throw new IOException("the change map's state has format " + format);
            }
            long newest = in.readLong();
            long mapId = in.readLong();
            boolean clean = in.readBoolean();
            String bootId = in.readUTF();
            boolean stamped = in.readBoolean();
            ImageStamp stamp = new ImageStamp(in.readLong(), in.readLong(), in.readLong(), in.readLong());
            int count = in.readUnsignedShort();
            List<Long> points = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                points.add(in.readLong());
            }
            return new ChangeState(newest, mapId, points, bootId, stamped ? stamp : null, clean);
        }
    }
}
