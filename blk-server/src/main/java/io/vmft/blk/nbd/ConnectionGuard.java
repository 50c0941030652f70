package io.vmft.blk.nbd;

import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.DecoderException;
import io.vmft.proto.nbd.NbdProtocolException;
import java.io.IOException;
import javax.net.ssl.SSLException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The end of a connection's pipeline: whatever went wrong there closes the connection, and is said once. */
final class ConnectionGuard extends ChannelInboundHandlerAdapter {
    private static final Logger LOG = LoggerFactory.getLogger(ConnectionGuard.class);

    private final CutLog cutLog;

    ConnectionGuard(CutLog cutLog) {
        this.cutLog = cutLog;
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        if (ctx.channel().isOpen()) {
            switch (cause) {
                case NbdProtocolException e -> cutLog.cut(ctx.channel(), String.valueOf(e.getMessage()));
                case DecoderException e
                when e.getCause() instanceof SSLException tls ->
                    LOG.debug("NBD client {}: {}", CutLog.nameOf(ctx.channel()), tls.getMessage());
                case IOException e -> LOG.debug("NBD client {}: {}", CutLog.nameOf(ctx.channel()), e.getMessage());
                default -> LOG.error("NBD client {}: cut by a defect", CutLog.nameOf(ctx.channel()), cause);
            }
        }
        var _ = ctx.close();
    }
}
