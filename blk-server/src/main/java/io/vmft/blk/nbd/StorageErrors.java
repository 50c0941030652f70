package io.vmft.blk.nbd;

import io.netty.channel.unix.Errors;
import io.vmft.blk.export.DisplacedException;
import io.vmft.blk.export.FencedException;
import io.vmft.blk.export.NoSpaceException;
import io.vmft.blk.export.SyncFailedException;
import io.vmft.proto.nbd.NbdError;
import java.io.IOException;
import java.nio.channels.ClosedChannelException;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** The one place where failures of storage become NBD errors. */
final class StorageErrors {
    private StorageErrors() {}

    static NbdError of(Throwable failure) {
        return switch (failure) {
            case FencedException _ -> NbdError.EPERM;
            case NoSpaceException _ -> NbdError.ENOSPC;
            case SyncFailedException _ -> NbdError.EIO;
            case OutOfMemoryError _ -> NbdError.ENOMEM;
            default -> isNoSpace(failure) ? NbdError.ENOSPC : NbdError.EIO;
        };
    }

    /** Whether the view will never serve again, so that its connection is of no more use. A standby's view may yet. */
    static boolean isFinal(Throwable failure) {
        return failure instanceof DisplacedException
                || (failure instanceof FencedException fenced && fenced.held() < fenced.current());
    }

    /** Whether the client must not be answered. */
    static boolean isSilent(Throwable failure) {
        return failure instanceof DisplacedException;
    }

    /** Whether a file's part could not be sent because the connection is gone, and not because of the file. */
    static boolean isOfSocket(Throwable failure) {
        if (failure instanceof Errors.NativeIoException socket) {
            int errno = socket.expectedErr();
            return errno == Errors.ERRNO_EPIPE_NEGATIVE || errno == Errors.ERRNO_ECONNRESET_NEGATIVE;
        }
        return failure instanceof ClosedChannelException || !(failure instanceof IOException);
    }

    /** Java has no type for ENOSPC: the operating system's words in the message are all there is. */
    private static boolean isNoSpace(@Nullable Throwable failure) {
        int depth = 0;
        for (Throwable cause = failure; cause != null && depth < 8; cause = cause.getCause(), depth++) {
            String message = cause.getMessage();
            if (message != null) {
                String lower = message.toLowerCase(Locale.ROOT);
                if (lower.contains("no space left on device") || lower.contains("disk quota exceeded")) {
                    return true;
                }
            }
        }
        return false;
    }
}
