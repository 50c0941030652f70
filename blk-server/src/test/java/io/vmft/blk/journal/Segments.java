package io.vmft.blk.journal;

import io.vmft.blk.file.StoreFile;
import java.lang.reflect.Proxy;

/** Segments without files, for tests that never read them. */
public final class Segments {
    private Segments() {}

    /** A segment whose file must not be touched. */
    public static Segment untouchable() {
        StoreFile file = (StoreFile) Proxy.newProxyInstance(
                Segments.class.getClassLoader(), new Class<?>[] {StoreFile.class}, (_, method, _) -> {
                    throw new AssertionError("the file was used: " + method.getName());
                });
        return new Segment(1, new SegmentFile(0, file, 1 << 20), _ -> {});
    }
}
