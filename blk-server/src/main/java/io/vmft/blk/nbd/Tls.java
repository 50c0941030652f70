package io.vmft.blk.nbd;

import io.netty.buffer.ByteBufAllocator;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslHandler;
import io.vmft.blk.tls.ServerCertificates;
import java.time.Duration;
import java.util.concurrent.Executor;

/**
 * How a server's connections are encrypted.
 *
 * @param required whether nothing is said without
 * @param tasks where the costly steps of TLS handshakes run: not on event loops
 */
record Tls(ServerCertificates certificates, boolean required, Executor tasks) {
    private static final int MAX_REASON_CHARS = 200;

    /** What a connection is secured with: the certificates as they were when it asked. */
    record Upgrade(SslContext context, Executor tasks) {
        SslHandler newHandler(ByteBufAllocator allocator, Duration deadline) {
            SslHandler handler = context.newHandler(allocator, tasks);
            handler.setHandshakeTimeoutMillis(deadline.toMillis());
            return handler;
        }
    }

    /** Reads certificates: blocks. */
    Upgrade upgrade() {
        return new Upgrade(certificates.current(), tasks);
    }

    /** A failure of TLS in one line: the innermost cause says what was wrong. */
    static String reason(Throwable failure) {
        Throwable cause = failure;
        for (int depth = 0; cause.getCause() != null && depth < 8; depth++) {
            cause = cause.getCause();
        }
        String text = String.valueOf(cause.getMessage()).lines().findFirst().orElse("");
        return text.length() > MAX_REASON_CHARS ? text.substring(0, MAX_REASON_CHARS) : text;
    }
}
