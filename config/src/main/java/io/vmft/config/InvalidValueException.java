package io.vmft.config;

/** A value breaks a rule of its record; names the key so that the reader can say where in the file it stands. */
public final class InvalidValueException extends IllegalArgumentException {
    private static final long serialVersionUID = 1L;

    private final String key;
    private final String complaint;

    public InvalidValueException(String key, String complaint) {
        super(key + ": " + complaint);
        this.key = key;
        this.complaint = complaint;
    }

    /** The key as it stands in a file. */
    public String key() {
        return key;
    }

    /** The message without the key. */
    public String complaint() {
        return complaint;
    }

    /** Throws with {@code key} and {@code complaint} unless {@code holds}. */
    public static void require(boolean holds, String key, String complaint) {
        if (!holds) {
            throw new InvalidValueException(key, complaint);
        }
    }
}
