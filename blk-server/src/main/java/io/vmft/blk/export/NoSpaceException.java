package io.vmft.blk.export;

import java.io.IOException;

/**
 * Storage has no room for the data ({@code NBD_ENOSPC}). Nothing of the request need have taken effect, and the same request may
 * succeed later.
 */
public final class NoSpaceException extends IOException {
    private static final long serialVersionUID = 1L;

    public NoSpaceException(String message) {
        super(message);
    }
}
