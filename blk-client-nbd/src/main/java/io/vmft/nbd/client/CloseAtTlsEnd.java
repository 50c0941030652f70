package io.vmft.nbd.client;

import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.ssl.SslCloseCompletionEvent;

/** Behind a TLS handler: closes when the server has ended TLS, which may wait for that before it closes itself. */
final class CloseAtTlsEnd extends ChannelInboundHandlerAdapter {
    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) {
        if (event instanceof SslCloseCompletionEvent) {
            var _ = ctx.close();
        } else {
            ctx.fireUserEventTriggered(event);
        }
    }
}
