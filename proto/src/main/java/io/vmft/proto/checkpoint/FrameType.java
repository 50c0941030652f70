package io.vmft.proto.checkpoint;

import org.jspecify.annotations.Nullable;

/** What a checkpoint frame is, with its code on the wire and who sends it. */
public enum FrameType {
    /** Primary: a {@code vmft.engine.v1.Hello}. */
    HELLO(1),
    /** Standby: a {@code vmft.engine.v1.Welcome}. */
    WELCOME(2),
    /** Primary: a {@code vmft.engine.v1.Prepare}. */
    PREPARE(3),
    /** Standby: a {@code vmft.engine.v1.Ready}. */
    READY(4),
    /** Primary: pages of the first sync, which belong to no epoch; the newest copy of a page counts. */
    SYNC_PAGES(5),
    /** Primary: pages of a checkpoint. */
    PAGES(6),
    /** Primary: CPU and device state of a checkpoint, as QEMU saved it. */
    DEVICE_STATE(7),
    /** Primary: the checkpoint is whole; payload: its number of pages (u64). Sent only after the seal was acknowledged. */
    END(8),
    /** Primary: the checkpoint is void; what was staged of it is dropped. */
    ABORT(9),
    /** Standby: holds the whole checkpoint, verified. */
    COMPLETE(10),
    /** Primary: epochs up to this one are committed; the standby may fold them. */
    COMMITTED(11),
    /** Either: alive. */
    HEARTBEAT(12),
    /** Primary: the VM was shut down on purpose; payload: why, UTF-8. There is nothing to take over. */
    BYE(13),
    /** Primary: frames the guest sent up to the end of this epoch, held there; to be sent if the backup takes over from it. */
    OUTPUT(14),
    /** Primary: frames from the network that the guest was given in this epoch; to be given again if it is not kept. */
    INPUT(15),
    /** Primary: pages of a checkpoint, made smaller; see {@link PackedPages}. */
    PACKED_PAGES(16),
    /** Primary: checksums of the whole memory at the end of this epoch, before its END; see {@link Digests}. */
    DIGESTS(17),
    /** Standby: its memory differs from the primary's at this epoch, it is no backup any more; payload: where, UTF-8. */
    DIFFERS(18);

    private static final FrameType[] BY_CODE = new FrameType[19];

    static {
        for (FrameType type : values()) {
            BY_CODE[type.code] = type;
        }
    }

    private final int code;

    FrameType(int code) {
        this.code = code;
    }

    public int code() {
        return code;
    }

    /** Whether the payload is pages, and therefore may be large. */
    public boolean carriesPages() {
        return this == SYNC_PAGES || this == PAGES || this == PACKED_PAGES;
    }

    static @Nullable FrameType ofCode(int code) {
        return code > 0 && code < BY_CODE.length ? BY_CODE[code] : null;
    }
}
