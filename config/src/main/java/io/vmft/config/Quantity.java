package io.vmft.config;

import java.time.Duration;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Sizes, durations, counts and flags as people write them. */
public final class Quantity {
    private static final Pattern SIZE = Pattern.compile("(\\d{1,15})\\s*([KMGT]?)(?:i?B)?", Pattern.CASE_INSENSITIVE);
    private static final Pattern DURATION = Pattern.compile("(\\d{1,12})\\s*(us|ms|s|m)");

    private Quantity() {}

    /**
     * Reads {@code 256M}, {@code 2G}, {@code 64MiB}, {@code 4096}: powers of 1024.
     *
     * @return bytes
     * @throws IllegalArgumentException if it is none; the message says how to write one
     */
    public static long parseSize(String text) {
        Matcher matcher = SIZE.matcher(text.strip());
        if (!matcher.matches()) {
            throw new IllegalArgumentException("\"" + text + "\" is not a size; write it like 256M or 2G");
        }
        int shift = switch (matcher.group(2).toUpperCase(Locale.ROOT)) {
            case "K" -> 10;
            case "M" -> 20;
            case "G" -> 30;
            case "T" -> 40;
            default -> 0;
        };
        long count = Long.parseLong(matcher.group(1));
        if (count > Long.MAX_VALUE >> shift) {
            throw new IllegalArgumentException("\"" + text + "\" is too large");
        }
        return count << shift;
    }

    /**
     * Reads {@code 25ms}, {@code 1s}, {@code 500us}, {@code 2m}. A unit is required.
     *
     * @throws IllegalArgumentException if it is none; the message says how to write one
     */
    public static Duration parseDuration(String text) {
        Matcher matcher = DURATION.matcher(text.strip());
        if (!matcher.matches()) {
            throw new IllegalArgumentException(
                    "\"" + text + "\" is not a duration; write it with its unit, like 25ms or 1s");
        }
        long count = Long.parseLong(matcher.group(1));
        return switch (matcher.group(2)) {
            case "us" -> Duration.ofNanos(Math.multiplyExact(count, 1_000L));
            case "ms" -> Duration.ofMillis(count);
            case "s" -> Duration.ofSeconds(count);
            default -> Duration.ofMinutes(count);
        };
    }

    /**
     * Reads a whole number, not negative.
     *
     * @throws IllegalArgumentException if it is none
     */
    public static int parseCount(String text) {
        if (!text.matches("\\d{1,9}")) {
            throw new IllegalArgumentException("\"" + text + "\" is not a whole number");
        }
        return Integer.parseInt(text);
    }

    /**
     * Reads {@code true} or {@code false}, or YAML's other words for them.
     *
     * @throws IllegalArgumentException if it is neither
     */
    public static boolean parseFlag(String text) {
        return switch (text) {
            case "true", "yes", "on" -> true;
            case "false", "no", "off" -> false;
            default -> throw new IllegalArgumentException("\"" + text + "\" is neither true nor false");
        };
    }

    /** Writes a number of bytes as {@code 256 MiB}, in the largest unit that loses nothing. */
    public static String sizeInWords(long bytes) {
        String[] units = {"bytes", "KiB", "MiB", "GiB", "TiB"};
        int unit = 0;
        long count = bytes;
        while (unit < units.length - 1 && count != 0 && count % 1024 == 0) {
            count /= 1024;
            unit++;
        }
        return count + " " + units[unit];
    }
}
