package io.vmft.kvm;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** The kinds of message to the library; laid out as {@link LibraryMessage} shows. */
enum EngineMessage {
    ARM(17),
    SEALED(18),
    VOID(19),
    RELEASE(20),
    HARVEST_LIVE(21),
    FREEZE(22),
    CLOCK_AHEAD(23);

    private final int type;

    EngineMessage(int type) {
        this.type = type;
    }

    /** Fills {@code target} from its start and leaves it ready to be written. */
    void encode(ByteBuffer target, int arg, long epoch) {
        target.clear().order(ByteOrder.LITTLE_ENDIAN);
        target.putInt(type).putInt(arg).putLong(epoch);
        while (target.position() < LibraryMessage.BYTES) {
            target.putLong(0);
        }
        target.flip();
    }
}
