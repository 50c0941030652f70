package io.vmft.nbd.client;

import java.nio.file.Path;

/** Where a server listens. */
public sealed interface NbdAddress {
    /** The port IANA gave to NBD. */
    int DEFAULT_PORT = 10809;

    /**
     * A TCP port.
     *
     * @param host a name or an address, IPv6 without brackets; resolved at each connection
     */
    record Tcp(String host, int port) implements NbdAddress {
        @Override
        public String toString() {
            return (host.indexOf(':') < 0 ? host : "[" + host + "]") + ":" + port;
        }
    }

    /** A unix socket. */
    record Unix(Path socket) implements NbdAddress {
        @Override
        public String toString() {
            return socket.toString();
        }
    }
}
