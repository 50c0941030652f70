package io.vmft.nbd.client;

import io.netty.channel.Channel;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** What a handshake is for. */
sealed interface HandshakeGoal {
    void fail(IOException cause);

    /**
     * What a handshake came to.
     *
     * @param contexts names by the number the server gave them
     */
    record Opened(Channel channel, NbdExport export, Map<Integer, String> contexts) {}

    /**
     * To use the export.
     *
     * @param opened completed when the transmission phase begins, before anything of it is decoded
     */
    record Open(ConnectOptions options, CompletableFuture<Opened> opened) implements HandshakeGoal {
        @Override
        public void fail(IOException cause) {
            opened.completeExceptionally(cause);
        }
    }

    /** To know what it is. */
    record Describe(CompletableFuture<NbdExport> export) implements HandshakeGoal {
        @Override
        public void fail(IOException cause) {
            export.completeExceptionally(cause);
        }
    }

    /** To know which there are. */
    record ListNames(CompletableFuture<List<String>> names) implements HandshakeGoal {
        @Override
        public void fail(IOException cause) {
            names.completeExceptionally(cause);
        }
    }
}
