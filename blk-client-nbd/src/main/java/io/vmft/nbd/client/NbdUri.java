package io.vmft.nbd.client;

import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Where an export is: {@code nbd://HOST[:PORT]/EXPORT} or {@code nbd+unix:///EXPORT?socket=PATH}, with {@code nbds} for TLS.
 * Several hosts, with commas between them, or several {@code socket=} are ways to the same volume: see
 * {@link io.vmft.nbd.client.session.FollowingClient}.
 *
 * <p>Parameters of TLS are {@code tls-certificates=DIR}, {@code tls-hostname=NAME} and {@code tls-verify-peer=false}; others that are
 * not known are ignored.
 *
 * @param addresses at least one
 * @param exportName may be empty: the server's default export
 * @param tls null: none
 * @see <a href="https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md">NBD URIs</a>
 */
public record NbdUri(
        List<NbdAddress> addresses,
        String exportName,
        @Nullable TlsSettings tls) {
    private static final Pattern FORM =
            Pattern.compile("(?<scheme>[a-z+]+)://(?<hosts>[^/?#]*)(?:/(?<export>[^?#]*))?(?:\\?(?<query>[^#]*))?");
    private static final Pattern HOST =
            Pattern.compile("(?:\\[(?<v6>[0-9A-Fa-f:.%]+)]|(?<name>[^\\[\\]:@,\\s]+))(?::(?<port>[0-9]{1,5}))?");
    /** More than anyone has storage hosts. */
    private static final int MAX_ADDRESSES = 16;

    public NbdUri {
        addresses = List.copyOf(addresses);
        if (addresses.isEmpty() || addresses.size() > MAX_ADDRESSES) {
            throw new IllegalArgumentException(addresses.size() + " servers; give 1 to " + MAX_ADDRESSES);
        }
    }

    /**
     * Reads an NBD URI.
     *
     * @throws IllegalArgumentException with one line for the user
     */
    public static NbdUri parse(String text) {
        Matcher form = FORM.matcher(text);
        if (!form.matches() || !looksLikeUri(text)) {
            throw new IllegalArgumentException(
                    text + " is no NBD URI; write nbd://HOST:PORT/EXPORT or nbd+unix:///EXPORT?socket=PATH");
        }
        String scheme = form.group("scheme");
        List<String[]> parameters = parameters(form.group("query"));
        List<NbdAddress> addresses = new ArrayList<>();
        switch (scheme) {
            case "nbd", "nbds" -> {
                for (String host : form.group("hosts").split(",", -1)) {
                    addresses.add(tcp(text, host));
                }
            }
            case "nbd+unix", "nbds+unix" -> {
                values(parameters, "socket").forEach(path -> addresses.add(new NbdAddress.Unix(Path.of(path))));
                if (addresses.isEmpty()) {
                    throw new IllegalArgumentException(text + " names no socket; write nbd+unix:///EXPORT?socket=PATH");
                }
            }
            default ->
                throw new IllegalArgumentException(
                        text + ": there is no scheme " + scheme + "; use nbd, nbds, nbd+unix or nbds+unix");
        }
        String export = form.group("export") == null ? "" : decode(form.group("export"));
        return new NbdUri(addresses, export, scheme.startsWith("nbds") ? tls(text, parameters) : null);
    }

    private static NbdAddress tcp(String text, String host) {
        Matcher matcher = HOST.matcher(host);
        if (!matcher.matches()) {
            throw new IllegalArgumentException(
                    text + (host.isEmpty() ? " names no host" : ": \"" + host + "\" is no host")
                            + "; write nbd://HOST:PORT/EXPORT");
        }
        int port = matcher.group("port") == null ? NbdAddress.DEFAULT_PORT : Integer.parseInt(matcher.group("port"));
        if (port < 1 || port > 65535) {
            throw new IllegalArgumentException(text + ": " + port + " is no port; use 1 to 65535");
        }
        String name = matcher.group("v6") == null ? matcher.group("name") : matcher.group("v6");
        return new NbdAddress.Tcp(decode(name), port);
    }

    private static TlsSettings tls(String text, List<String[]> parameters) {
        if (!values(parameters, "tls-psk-file").isEmpty()) {
            throw new IllegalArgumentException(
                    text + ": TLS with shared keys is not supported; use tls-certificates=DIR");
        }
        String folder =
                values(parameters, "tls-certificates").stream().findFirst().orElse(null);
        String serverName =
                values(parameters, "tls-hostname").stream().findFirst().orElse(null);
        boolean verified = switch (values(parameters, "tls-verify-peer").stream()
                .findFirst()
                .orElse("true")) {
            case "true", "1", "on", "yes" -> true;
            case "false", "0", "off", "no" -> false;
            default -> throw new IllegalArgumentException(text + ": tls-verify-peer is true or false");
        };
        return new TlsSettings(folder == null ? null : Path.of(folder), serverName, verified);
    }

    private static List<String[]> parameters(@Nullable String query) {
        List<String[]> parameters = new ArrayList<>();
        if (query != null) {
            for (String parameter : query.split("&", -1)) {
                int equals = parameter.indexOf('=');
                if (equals > 0) {
                    parameters.add(
                            new String[] {parameter.substring(0, equals), decode(parameter.substring(equals + 1))});
                }
            }
        }
        return parameters;
    }

    private static List<String> values(List<String[]> parameters, String name) {
        return parameters.stream()
                .filter(parameter -> parameter[0].equals(name))
                .map(parameter -> parameter[1])
                .toList();
    }

    /** In a URI, unlike in a form, a plus is a plus. */
    private static String decode(String text) {
        try {
            return URLDecoder.decode(text.replace("+", "%2B"), StandardCharsets.UTF_8);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(text + ": what follows a % is not two hexadecimal digits", e);
        }
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8)
                .replace("+", "%20")
                .replace("%2F", "/")
                .replace("%40", "@")
                .replace("%3A", ":");
    }

    /** Whether {@code text} is meant as an NBD URI rather than a file's name. */
    public static boolean looksLikeUri(String text) {
        return text.matches("nbds?(\\+[a-z]+)?:.*");
    }

    /** The same volume by one of its addresses. */
    public NbdUri at(NbdAddress address) {
        return new NbdUri(List.of(address), exportName, tls);
    }

    /** The same server's export of another name. */
    public NbdUri withExport(String name) {
        return new NbdUri(addresses, name, tls);
    }

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder(tls == null ? "nbd" : "nbds");
        List<String> query = new ArrayList<>();
        if (addresses.getFirst() instanceof NbdAddress.Unix) {
            text.append("+unix:///");
            addresses.forEach(address -> query.add("socket=" + encode(address.toString())));
        } else {
            text.append("://")
                    .append(addresses.stream().map(NbdAddress::toString).collect(Collectors.joining(",")))
                    .append('/');
        }
        text.append(encode(exportName));
        if (tls != null && tls.certificates() != null) {
            query.add("tls-certificates=" + encode(tls.certificates().toString()));
        }
        if (tls != null && tls.serverName() != null) {
            query.add("tls-hostname=" + encode(tls.serverName()));
        }
        if (tls != null && !tls.verified()) {
            query.add("tls-verify-peer=false");
        }
        return query.isEmpty()
                ? text.toString()
                : text.append('?').append(String.join("&", query)).toString();
    }
}
