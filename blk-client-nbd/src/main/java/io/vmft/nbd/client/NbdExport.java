package io.vmft.nbd.client;

import io.vmft.proto.nbd.Nbd;

/**
 * What a server says about an export.
 *
 * @param transmissionFlags {@code FLAG_…} of {@link Nbd}
 * @param preferredBlockBytes requests of multiples of this are efficient
 * @param maximumPayloadBytes the longest read or write
 * @param description for people; may be empty
 * @param structured whether replies are structured
 */
public record NbdExport(
        String name,
        long sizeBytes,
        int transmissionFlags,
        int preferredBlockBytes,
        int maximumPayloadBytes,
        String description,
        boolean structured) {

    public boolean has(int transmissionFlag) {
        return (transmissionFlags & transmissionFlag) != 0;
    }

    public boolean readOnly() {
        return has(Nbd.FLAG_READ_ONLY);
    }
}
