package io.vmft.nbd.client.cli;

import java.util.Locale;
import picocli.CommandLine;

/** A number of bytes, written as {@code 4096}, {@code 64K}, {@code 1M} or {@code 2G}. */
record ByteCount(long bytes) {
    static ByteCount parse(String text) {
        String upper = text.toUpperCase(Locale.ROOT);
        int shift = upper.isEmpty()
                ? 0
                : switch (upper.charAt(upper.length() - 1)) {
                    case 'K' -> 10;
                    case 'M' -> 20;
                    case 'G' -> 30;
                    case 'T' -> 40;
                    default -> 0;
                };
        try {
            long number = Long.parseLong(shift == 0 ? upper : upper.substring(0, upper.length() - 1));
            if (number < 0 || number > Long.MAX_VALUE >> shift) {
                throw new CommandLine.TypeConversionException(text + " is out of range");
            }
            return new ByteCount(number << shift);
        } catch (NumberFormatException _) {
            throw new CommandLine.TypeConversionException(
                    text + " is no number of bytes; write one as 4096, 64K, 1M or 2G");
        }
    }

    /** For people. */
    static String describe(long bytes) {
        if (bytes < 1024) {
            return bytes + " B";
        }
        int power = Math.min(6, (63 - Long.numberOfLeadingZeros(bytes)) / 10);
        return "%.1f %siB".formatted(bytes / Math.pow(1024, power), "KMGTPE".charAt(power - 1));
    }
}
