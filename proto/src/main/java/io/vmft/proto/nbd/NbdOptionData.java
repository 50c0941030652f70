package io.vmft.proto.nbd;

import io.netty.buffer.ByteBuf;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What stands in the data of a client's options.
 *
 * <pre>
 *  OPT_INFO, OPT_GO                  name length:32 name, count:16 information:16 …
 *  OPT_LIST_, OPT_SET_META_CONTEXT   name length:32 name, count:32 (query length:32 query) …
 * </pre>
 */
final class NbdOptionData {
    /** Name, two lengths, and more information requests than there are. */
    private static final int MAX_INFO_BYTES = Nbd.MAX_STRING_BYTES + 6 + 2 * 64;
    /** Name and queries; four strings of the longest kind, or {@link Nbd#MAX_QUERIES} ordinary ones. */
    private static final int MAX_META_CONTEXT_BYTES = 4 * Nbd.MAX_STRING_BYTES + 8 + 4 * Nbd.MAX_QUERIES;

    private final int option;
    private final ByteBuf data;

    private NbdOptionData(int option, ByteBuf data) {
        this.option = option;
        this.data = data;
    }

    static boolean isKnown(int option) {
        return switch (option) {
            case Nbd.OPT_EXPORT_NAME,
                    Nbd.OPT_ABORT,
                    Nbd.OPT_LIST,
                    Nbd.OPT_STARTTLS,
                    Nbd.OPT_INFO,
                    Nbd.OPT_GO,
                    Nbd.OPT_STRUCTURED_REPLY,
                    Nbd.OPT_LIST_META_CONTEXT,
                    Nbd.OPT_SET_META_CONTEXT,
                    Nbd.OPT_EXTENDED_HEADERS -> true;
            default -> false;
        };
    }

    /** How long the data of a known option may be; more is not held. */
    static int maxBytes(int option) {
        return switch (option) {
            case Nbd.OPT_LIST_META_CONTEXT, Nbd.OPT_SET_META_CONTEXT -> MAX_META_CONTEXT_BYTES;
            default -> MAX_INFO_BYTES;
        };
    }

    /** The known option whose data is all of {@code data}. */
    static NbdOption decode(int option, ByteBuf data) {
        return new NbdOptionData(option, data).decode();
    }

    private NbdOption decode() {
        return switch (option) {
            case Nbd.OPT_EXPORT_NAME -> {
                String name = NbdStrings.read(data, data.readableBytes());
                if (name == null) {
                    throw NbdProtocolException.malformed("an export name is not UTF-8");
                }
                yield new NbdOption.ExportName(name);
            }
            case Nbd.OPT_LIST -> withoutData(new NbdOption.ListExports());
            case Nbd.OPT_STARTTLS -> withoutData(new NbdOption.StartTls());
            case Nbd.OPT_STRUCTURED_REPLY -> withoutData(new NbdOption.StructuredReply());
            case Nbd.OPT_EXTENDED_HEADERS -> withoutData(new NbdOption.ExtendedHeaders());
            case Nbd.OPT_INFO, Nbd.OPT_GO -> infoOrGo();
            case Nbd.OPT_LIST_META_CONTEXT, Nbd.OPT_SET_META_CONTEXT -> metaContexts();
            default -> throw new IllegalStateException("option " + option + " is known but not decoded");
        };
    }

    private NbdOption withoutData(NbdOption decoded) {
        return data.isReadable() ? malformed("this option has no data") : decoded;
    }

    private NbdOption malformed(String message) {
        return new NbdOption.Malformed(option, Nbd.REP_ERR_INVALID, message);
    }

    private NbdOption badName() {
        return malformed(
                "the name is longer than the option data or " + Nbd.MAX_STRING_BYTES + " bytes, or it is not UTF-8");
    }

    /** A string behind its length, or null if it is none; at least {@code more} bytes must follow. */
    private @Nullable String string(int more) {
        if (data.readableBytes() < Integer.BYTES + more) {
            return null;
        }
        long lengthBytes = data.readUnsignedInt();
        return lengthBytes > data.readableBytes() - more ? null : NbdStrings.read(data, (int) lengthBytes);
    }

    private NbdOption infoOrGo() {
        @Nullable String name = string(Short.BYTES);
        if (name == null) {
            return badName();
        }
        int count = data.readUnsignedShort();
        if (data.readableBytes() != Short.BYTES * count) {
            return malformed("the number of information requests does not match the option data");
        }
        List<Integer> requests = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            requests.add(data.readUnsignedShort());
        }
        return option == Nbd.OPT_GO ? new NbdOption.Go(name, requests) : new NbdOption.Describe(name, requests);
    }

    private NbdOption metaContexts() {
        @Nullable String name = string(Integer.BYTES);
        if (name == null) {
            return badName();
        }
        long count = data.readUnsignedInt();
        if (count > data.readableBytes() / Integer.BYTES) {
            return malformed("there are fewer queries than the option says");
        }
        if (count > Nbd.MAX_QUERIES) {
            return new NbdOption.Malformed(option, Nbd.REP_ERR_TOO_BIG, "more than " + Nbd.MAX_QUERIES + " queries");
        }
        List<String> queries = new ArrayList<>((int) count);
        for (int i = 0; i < count; i++) {
            @Nullable String query = string(0);
            if (query == null) {
                return malformed("a query is longer than the option data or " + Nbd.MAX_STRING_BYTES
                        + " bytes, or it is not UTF-8");
            }
            queries.add(query);
        }
        if (data.isReadable()) {
            return malformed("there is more option data than queries");
        }
        return option == Nbd.OPT_SET_META_CONTEXT
                ? new NbdOption.SetMetaContexts(name, queries)
                : new NbdOption.ListMetaContexts(name, queries);
    }
}
