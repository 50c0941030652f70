package io.vmft.nbd.client;

import io.vmft.proto.nbd.Nbd;
import io.vmft.proto.nbd.NbdHeaders;
import io.vmft.proto.nbd.NbdOptionReply;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What is known of an export while a handshake goes on. */
final class ExportDraft {
    /** Names by number; in a list of contexts the numbers are made up. */
    final Map<Integer, String> contexts = new LinkedHashMap<>();

    NbdHeaders headers = NbdHeaders.SIMPLE;
    boolean encrypted;
    long sizeBytes = -1;
    int flags;
    private int minimumBlockBytes = 1;
    private int preferredBlockBytes = 4096;
    private int maximumPayloadBytes = Nbd.MAX_PAYLOAD_BYTES;
    private String description = "";

    void take(NbdOptionReply reply) {
        switch (reply) {
            case NbdOptionReply.Export(int _, long size, int transmissionFlags) -> {
                sizeBytes = size;
                flags = transmissionFlags;
            }
            case NbdOptionReply.Description(int _, String text) -> description = text;
            case NbdOptionReply.BlockSize(int _, int minimum, int preferred, int maximum) -> {
                minimumBlockBytes = Math.max(1, minimum);
                preferredBlockBytes = Math.max(1, preferred);
                maximumPayloadBytes = maximum <= 0 ? Nbd.MAX_PAYLOAD_BYTES : Math.min(maximum, Nbd.MAX_PAYLOAD_BYTES);
            }
            default -> {} // the canonical name, or what this client does not know
        }
    }

    void context(int id, String name, boolean numbered) {
        contexts.put(numbered ? id : contexts.size(), name);
    }

    NbdExport export(String name) {
        return new NbdExport(
                name,
                sizeBytes,
                flags,
                minimumBlockBytes,
                preferredBlockBytes,
                maximumPayloadBytes,
                description,
                headers,
                List.copyOf(contexts.values()),
                encrypted);
    }
}
