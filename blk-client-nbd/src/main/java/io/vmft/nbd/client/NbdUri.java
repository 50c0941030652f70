package io.vmft.nbd.client;

import java.net.URI;
import java.net.URISyntaxException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * Where an export is: {@code nbd://HOST[:PORT]/EXPORT} or {@code nbd+unix:///EXPORT?socket=PATH}.
 *
 * @param host empty if {@code socket} is set
 * @param socket the unix socket's path, or null for TCP
 * @param exportName may be empty: the server's default export
 * @see <a href="https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md">NBD URIs</a>
 */
public record NbdUri(String host, int port, @Nullable Path socket, String exportName) {
    private static final int DEFAULT_PORT = 10809;

    /**
     * Reads an NBD URI.
     *
     * @throws IllegalArgumentException with one line for the user
     */
    public static NbdUri parse(String text) {
        URI uri;
        try {
            uri = new URI(text);
        } catch (URISyntaxException e) {
            throw new IllegalArgumentException(text + " is no URI: " + e.getReason(), e);
        }
        String path = uri.getPath() == null ? "" : uri.getPath();
        String exportName = path.startsWith("/") ? path.substring(1) : path;
        return switch (uri.getScheme()) {
            case "nbd" -> {
                if (uri.getHost() == null) {
                    throw new IllegalArgumentException(text + " names no host; write nbd://HOST:PORT/EXPORT");
                }
                String host = uri.getHost().replaceAll("^\\[(.*)]$", "$1");
                yield new NbdUri(host, uri.getPort() < 0 ? DEFAULT_PORT : uri.getPort(), null, exportName);
            }
            case "nbd+unix" -> new NbdUri("", 0, Path.of(socketParameter(uri)), exportName);
            case null, default ->
                throw new IllegalArgumentException(
                        text + " is no NBD URI; write nbd://HOST:PORT/EXPORT or nbd+unix:///EXPORT?socket=PATH");
        };
    }

    private static String socketParameter(URI uri) {
        String query = uri.getRawQuery() == null ? "" : uri.getRawQuery();
        for (String parameter : query.split("&", -1)) {
            if (parameter.startsWith("socket=")) {
                // In a path a plus is a plus.
                String encoded = parameter.substring("socket=".length()).replace("+", "%2B");
                return URLDecoder.decode(encoded, StandardCharsets.UTF_8);
            }
        }
        throw new IllegalArgumentException(uri + " names no socket; write nbd+unix:///EXPORT?socket=PATH");
    }

    /** Whether {@code text} is meant as an NBD URI rather than a file's name. */
    public static boolean looksLikeUri(String text) {
        return text.matches("nbds?(\\+[a-z]+)?:.*");
    }

    @Override
    public String toString() {
        return socket == null
                ? "nbd://" + (host.indexOf(':') < 0 ? host : "[" + host + "]") + ":" + port + "/" + exportName
                : "nbd+unix:///" + exportName + "?socket=" + socket;
    }
}
