package io.vmft.blk.export;

import java.io.IOException;

/**
 * A sync failed, now or before ({@code NBD_EIO}, for want of space too): the system may have dropped what was written, so that neither
 * room nor a later success would bring it back.
 */
public final class SyncFailedException extends IOException {
    private static final long serialVersionUID = 1L;

    public SyncFailedException(String message, IOException cause) {
        super(message, cause);
    }
}
