package io.vmft.blk.nbd;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** Where an NBD server listens. Immutable. */
public sealed interface ListenAddress {

    /**
     * A TCP address.
     *
     * @param host a name or an IPv4 or IPv6 address without brackets; empty: every address of this machine
     * @param port 0: any free port
     */
    record Tcp(String host, int port) implements ListenAddress {
        public Tcp {
            if (port < 0 || port > 65535) {
                throw new IllegalArgumentException("port " + port + " is not between 0 and 65535");
            }
        }

        @Override
        public String uri(String exportName) {
            return "nbd://" + (host.isEmpty() ? "localhost" : bracketed()) + ":" + port + "/" + encode(exportName);
        }

        private String bracketed() {
            return host.indexOf(':') >= 0 ? "[" + host + "]" : host;
        }

        @Override
        public String toString() {
            return bracketed() + ":" + port;
        }
    }

    /**
     * A unix stream socket.
     *
     * @param mode permission bits the socket file gets, as {@code 0600}
     */
    record Unix(Path path, int mode) implements ListenAddress {
        /** Only the server's own user may connect. */
        public static final int OWNER_ONLY = 0600;

        /** What {@code sun_path} holds on Linux, without its final zero. */
        private static final int MAX_PATH_BYTES = 107;

        public Unix {
            if (path.toString().isEmpty()) {
                throw new IllegalArgumentException("a unix socket needs a path");
            }
            if (path.toString().getBytes(StandardCharsets.UTF_8).length > MAX_PATH_BYTES) {
                throw new IllegalArgumentException(
                        "unix socket path " + path + " is longer than " + MAX_PATH_BYTES + " bytes");
            }
            if (mode < 0 || mode > 0777) {
                throw new IllegalArgumentException("socket mode " + Integer.toOctalString(mode) + " is not 000 to 777");
            }
        }

        public Unix(Path path) {
            this(path, OWNER_ONLY);
        }

        @Override
        public String uri(String exportName) {
            return "nbd+unix:///" + encode(exportName) + "?socket=" + path;
        }

        @Override
        public String toString() {
            return "unix:" + path;
        }
    }

    /** As {@link #uri}, for a client that speaks TLS. */
    default String tlsUri(String exportName) {
        return "nbds" + uri(exportName).substring("nbd".length());
    }

    /** The NBD URI under which a client on this machine reaches {@code exportName} here. */
    String uri(String exportName);

    /**
     * Reads {@code HOST:PORT}, {@code :PORT}, {@code [IPV6]:PORT}, {@code unix:PATH} or {@code unix:PATH,mode=0660}.
     *
     * @throws IllegalArgumentException with one line for the operator
     */
    static ListenAddress parse(String text) {
        return text.startsWith("unix:") ? parseUnix(text.substring("unix:".length())) : parseTcp(text);
    }

    private static ListenAddress parseUnix(String text) {
        int option = text.lastIndexOf(",mode=");
        if (option < 0) {
            return new Unix(Path.of(text));
        }
        String mode = text.substring(option + ",mode=".length());
        try {
            return new Unix(Path.of(text.substring(0, option)), Integer.parseInt(mode, 8));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("socket mode " + mode + " is not an octal number such as 0660", e);
        }
    }

    private static ListenAddress parseTcp(String text) {
        int colon = text.lastIndexOf(':');
        if (colon < 0) {
            throw new IllegalArgumentException(text + " is not HOST:PORT, :PORT, [IPV6]:PORT or unix:PATH");
        }
        String host = text.substring(0, colon);
        if (host.startsWith("[") && host.endsWith("]")) {
            host = host.substring(1, host.length() - 1);
        } else if (host.indexOf(':') >= 0) {
            throw new IllegalArgumentException("an IPv6 address is written in brackets: [" + host + "]:PORT");
        }
        try {
            return new Tcp(host, Integer.parseInt(text.substring(colon + 1)));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(text + ": the port is not a number", e);
        }
    }

    private static String encode(String exportName) {
        return URLEncoder.encode(exportName, StandardCharsets.UTF_8)
                .replace("+", "%20")
                .replace("%40", "@");
    }
}
