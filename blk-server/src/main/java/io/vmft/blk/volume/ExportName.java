package io.vmft.blk.volume;

import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportRefusedException.Reason;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A parsed export name: {@code NAME[@WHICH][;session=ID.N]}.
 *
 * @param volume the volume's name, as it was written; whether there is such a volume is not checked
 * @param which what follows the last {@code @}, such as a generation; null: nothing does
 * @param session null: none was named
 */
record ExportName(
        String volume, @Nullable String which, @Nullable Session session) {
    private static final String SESSION = ";session=";
    private static final Pattern SESSION_VALUE = Pattern.compile("([a-z0-9]{1,32})\\.(0|[1-9][0-9]{0,17})");

    /**
     * Which client a connection belongs to.
     *
     * @param id the client's name for itself
     * @param incarnation rises each time the client connects anew
     */
    record Session(String id, long incarnation) {
        @Override
        public String toString() {
            return id + "." + incarnation;
        }
    }

    static ExportName parse(String text) throws ExportRefusedException {
        int semicolon = text.indexOf(';');
        String name = semicolon < 0 ? text : text.substring(0, semicolon);
        Session session = semicolon < 0 ? null : session(text.substring(semicolon));
        int at = name.lastIndexOf('@');
        return at < 0
                ? new ExportName(name, null, session)
                : new ExportName(name.substring(0, at), name.substring(at + 1), session);
    }

    private static Session session(String text) throws ExportRefusedException {
        Matcher value = SESSION_VALUE.matcher(text.startsWith(SESSION) ? text.substring(SESSION.length()) : "");
        if (!value.matches()) {
            throw new ExportRefusedException(
                    Reason.UNKNOWN,
                    "what follows the ; is not session=ID.N, with ID of 1 to 32 a-z 0-9 and N a number");
        }
        return new Session(value.group(1), Long.parseLong(value.group(2)));
    }
}
