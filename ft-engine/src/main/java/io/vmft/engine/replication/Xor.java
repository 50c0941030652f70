package io.vmft.engine.replication;

import io.vmft.proto.checkpoint.Frame;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/** What tells two contents of a page apart, and puts one together from the other. */
final class Xor {
    private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.nativeOrder());

    private Xor() {}

    /** Writes the exclusive or of two pages to {@code target}, which may be one of them. */
    static void pages(byte[] one, byte[] other, byte[] target) {
        for (int at = 0; at < Frame.PAGE_BYTES; at += Long.BYTES) {
            LONGS.set(target, at, (long) LONGS.get(one, at) ^ (long) LONGS.get(other, at));
        }
    }
}
