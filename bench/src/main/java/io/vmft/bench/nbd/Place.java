package io.vmft.bench.nbd;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;

/**
 * Where a server has its files and listens.
 *
 * @param unix whether on a unix socket; on loopback otherwise
 * @param port a free one; on a unix socket only a number of its own
 */
record Place(Path folder, boolean unix, int port) {
    static final String HOST = "127.0.0.1";

    static Place in(Path folder, boolean unix) throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return new Place(folder, unix, socket.getLocalPort());
        }
    }

    /** The one that all servers of a folder serve. */
    Path image() {
        return folder.resolve(ServerKind.EXPORT + ".img");
    }

    Path socket(ServerKind kind) {
        return folder.resolve(kind + "-" + port + ".sock");
    }

    String uri(ServerKind kind, String export) {
        return unix ? "nbd+unix:///" + export + "?socket=" + socket(kind) : "nbd://" + HOST + ":" + port + "/" + export;
    }
}
