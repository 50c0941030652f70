package io.vmft.nbd.client;

/** Whether requests fit an export. */
public final class Ranges {
    private Ranges() {}

    /**
     * Checks a range.
     *
     * @throws IllegalArgumentException if it is not inside
     */
    public static void check(NbdExport export, long offset, long lengthBytes) {
        if (offset < 0 || lengthBytes < 0 || offset > export.sizeBytes() - lengthBytes) {
            throw new IllegalArgumentException("bytes " + offset + " to " + (offset + lengthBytes)
                    + " are not inside the export of " + export.sizeBytes() + " bytes");
        }
    }

    /**
     * Checks a read's or write's length.
     *
     * @throws IllegalArgumentException if a request may not carry so much
     */
    public static void checkPayload(NbdExport export, int lengthBytes) {
        if (lengthBytes > export.maximumPayloadBytes()) {
            throw new IllegalArgumentException(
                    lengthBytes + " bytes are more than a request may carry: " + export.maximumPayloadBytes());
        }
    }
}
