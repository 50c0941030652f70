package io.vmft.engine.config;

import static io.vmft.config.InvalidValueException.require;

import io.vmft.config.Quantity;

/**
 * How memory gets to the backup.
 *
 * @param syncRateBytes bytes a second that the first copy of all memory may send; 0: as fast as it goes
 * @param verifyEpochs every so many epochs the whole memory of both sides is compared; 0: never
 * @param compression when checkpoints' pages are made smaller before they are sent
 * @param cacheBytes bound of what the primary remembers of pages it sent, to send only what changed in them
 */
public record Copying(long syncRateBytes, int verifyEpochs, Compression compression, long cacheBytes) {
    /** When pages are compressed. */
    public enum Compression {
        /** While the link takes longer than the guest runs. */
        AUTO,
        ALWAYS,
        NEVER;

        static Compression parse(String text) {
            return switch (text) {
                case "auto" -> AUTO;
                case "always" -> ALWAYS;
                case "never" -> NEVER;
                default -> throw new IllegalArgumentException("\"" + text + "\" is none of auto, always, never");
            };
        }
    }

    public static final Copying DEFAULT = new Copying(0, 0, Compression.AUTO, 64L << 20);

    public Copying {
        require(
                syncRateBytes == 0 || syncRateBytes >= 1L << 20,
                "sync_rate",
                Quantity.sizeInWords(syncRateBytes) + " a second is less than 1M; give more, or 0 for no limit");
        require(verifyEpochs >= 0, "verify_epochs", verifyEpochs + " is negative");
        require(
                cacheBytes >= 1L << 20 && cacheBytes <= 64L << 30,
                "delta_cache",
                Quantity.sizeInWords(cacheBytes) + " is not between 1M and 64G");
    }
}
