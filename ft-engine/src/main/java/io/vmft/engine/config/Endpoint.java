package io.vmft.engine.config;

import java.nio.file.Path;

/** Where a server listens: {@code HOST:PORT} or {@code unix:PATH}. */
public sealed interface Endpoint {
    /** A TCP endpoint. An IPv6 address is kept without brackets. Port 0 means any free one where something listens. */
    record HostPort(String host, int port) implements Endpoint {
        public HostPort {
            if (host.isEmpty() || host.chars().anyMatch(c -> c <= ' ' || c == '/' || c == ',' || c > '~')) {
                throw new IllegalArgumentException("\"" + host + "\" is not a host name or address");
            }
            if (port < 0 || port > 65535) {
                throw new IllegalArgumentException("port " + port + " is not between 0 and 65535");
            }
        }

        /**
         * Reads {@code host:4441}, {@code 10.0.0.1:4441}, {@code [fe80::1]:4441}; {@code :4441} means all addresses.
         *
         * @throws IllegalArgumentException if it is none
         */
        public static HostPort parse(String text) {
            int colon = text.lastIndexOf(':');
            String host = colon < 0 ? "" : text.substring(0, colon);
            String port = text.substring(colon + 1);
            boolean bracketed = host.startsWith("[") && host.endsWith("]");
            if (colon < 0 || !port.matches("\\d{1,5}") || (!bracketed && host.indexOf(':') >= 0)) {
                throw new IllegalArgumentException(
                        "\"" + text + "\" is not HOST:PORT; write it like 10.0.0.1:5000 or [::1]:5000");
            }
            if (bracketed) {
                host = host.substring(1, host.length() - 1);
            }
            return new HostPort(host.isEmpty() ? "0.0.0.0" : host, Integer.parseInt(port));
        }

        @Override
        public String toString() {
            return (host.indexOf(':') >= 0 ? "[" + host + "]" : host) + ":" + port;
        }
    }

    /** A unix socket. */
    record UnixPath(Path path) implements Endpoint {
        @Override
        public String toString() {
            return "unix:" + path;
        }
    }

    /**
     * Reads {@code HOST:PORT} or {@code unix:PATH}.
     *
     * @throws IllegalArgumentException if it is neither
     */
    static Endpoint parse(String text) {
        if (text.startsWith("unix:")) {
            String path = text.substring("unix:".length());
            if (path.isEmpty() || path.indexOf('\0') >= 0) {
                throw new IllegalArgumentException(
                        "\"" + text + "\" names no socket; write it like unix:/run/blk.sock");
            }
            return new UnixPath(Path.of(path));
        }
        return HostPort.parse(text);
    }
}
