package io.vmft.nbd.client;

import java.security.SecureRandom;
import java.util.List;
import java.util.Objects;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * What a client asks of a server besides the export.
 *
 * @param connections how many to share the requests among, if the server allows several; 1 to {@value #MAX_CONNECTIONS}
 * @param contexts metadata contexts for block status; those that the server does not have are left out
 * @param session who this is, so that the server can tell a client's new connections from its dead ones; null: nobody
 */
public record ConnectOptions(
        int connections, List<String> contexts, @Nullable Session session) {
    private static final int MAX_CONNECTIONS = 64;

    /** One connection, no contexts. */
    public static final ConnectOptions DEFAULT = new ConnectOptions(1, List.of(), null);

    public ConnectOptions {
        contexts = List.copyOf(contexts);
        if (connections < 1 || connections > MAX_CONNECTIONS) {
            throw new IllegalArgumentException(connections + " connections; use 1 to " + MAX_CONNECTIONS);
        }
    }

    public ConnectOptions withConnections(int count) {
        return new ConnectOptions(count, contexts, session);
    }

    public ConnectOptions withContexts(String... names) {
        return new ConnectOptions(connections, List.of(names), session);
    }

    public ConnectOptions withSession(Session named) {
        return new ConnectOptions(connections, contexts, named);
    }

    /**
     * One client's connections of one time. A block server of vmft ends those of a lower incarnation before it admits the first of
     * a higher one; other servers do not know sessions and are asked without.
     *
     * @param id 1 to 32 of {@code a-z0-9}
     * @param incarnation rises each time the client connects anew
     */
    public record Session(String id, long incarnation) {
        private static final Pattern ID = Pattern.compile("[a-z0-9]{1,32}");
        private static final String LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";
        private static final int RANDOM_LETTERS = 16;

        public Session {
            if (!ID.matcher(Objects.requireNonNull(id)).matches() || incarnation < 0) {
                throw new IllegalArgumentException("session " + id + "." + incarnation);
            }
        }

        /** A client nobody has seen before, for the first time. */
        public static Session random() {
            StringBuilder id = new StringBuilder();
            new SecureRandom()
                    .ints(RANDOM_LETTERS, 0, LETTERS.length())
                    .forEach(letter -> id.append(LETTERS.charAt(letter)));
            return new Session(id.toString(), 1);
        }

        /** The export name to ask for. */
        String of(String exportName) {
            return exportName + ";session=" + id + "." + incarnation;
        }
    }
}
