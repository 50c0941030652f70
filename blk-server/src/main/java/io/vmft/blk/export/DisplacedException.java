package io.vmft.blk.export;

import java.io.IOException;

/**
 * A newer connection has this one's place. The call may or may not have taken effect, and the newcomer is not admitted before that is
 * settled. Its client must not be answered, least of all with an error: it may be one that connects anew and repeats what was not
 * answered.
 */
public final class DisplacedException extends IOException {
    private static final long serialVersionUID = 1L;

    public DisplacedException(String message) {
        super(message);
    }
}
