package io.vmft.engine.qemu;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** QEMU cannot be used, did not start, or died. The message is for the operator and carries QEMU's own last words. */
public final class QemuException extends IOException {
    private static final long serialVersionUID = 1L;

    public QemuException(String message) {
        super(message);
    }

    public QemuException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
