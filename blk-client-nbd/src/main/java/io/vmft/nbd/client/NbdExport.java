package io.vmft.nbd.client;

import io.vmft.proto.nbd.Nbd;
import io.vmft.proto.nbd.NbdHeaders;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What a server says about an export.
 *
 * @param name without the session, if one was named
 * @param transmissionFlags {@code FLAG_…} of {@link Nbd}
 * @param minimumBlockBytes offsets and lengths are multiples of it; 1 if the server says nothing
 * @param preferredBlockBytes requests of multiples of this are efficient
 * @param maximumPayloadBytes the longest read or write
 * @param description for people; may be empty
 * @param headers what requests and replies look like: {@code STRUCTURED} and {@code EXTENDED} have block status, {@code EXTENDED}
 *     lengths of 64 bits
 * @param contexts metadata contexts that the server has, of those that were asked for
 * @param encrypted whether the connection is TLS
 */
public record NbdExport(
        String name,
        long sizeBytes,
        int transmissionFlags,
        int minimumBlockBytes,
        int preferredBlockBytes,
        int maximumPayloadBytes,
        String description,
        NbdHeaders headers,
        List<String> contexts,
        boolean encrypted) {

    private static final Pattern WITH_GENERATION = Pattern.compile("(.*)@([1-9][0-9]{0,17})", Pattern.DOTALL);

    public NbdExport {
        contexts = List.copyOf(contexts);
    }

    public boolean has(int transmissionFlag) {
        return (transmissionFlags & transmissionFlag) != 0;
    }

    public boolean readOnly() {
        return has(Nbd.FLAG_READ_ONLY);
    }

    /** The generation in an export's name {@code VOLUME@GENERATION}; 0: it has none. */
    public static long generation(String exportName) {
        Matcher matcher = WITH_GENERATION.matcher(exportName);
        return matcher.matches() ? Long.parseLong(matcher.group(2)) : 0;
    }

    /** An export's name without its generation. */
    public static String volume(String exportName) {
        Matcher matcher = WITH_GENERATION.matcher(exportName);
        return matcher.matches() ? matcher.group(1) : exportName;
    }
}
