package io.vmft.blk.server;

import io.vmft.blk.volume.VolumeTable;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A volume to serve.
 *
 * @param createBytes the size the image must have, and is created with (sparse) if missing; 0: it must exist
 */
public record VolumeSpec(String name, Path image, long createBytes, boolean readOnly) {
    private static final Pattern SIZE = Pattern.compile("([0-9]{1,15})([KMGT]?)");
    private static final String SUFFIXES = "KMGT";

    public VolumeSpec {
        if (!VolumeTable.NAME.matcher(name).matches()) {
            throw new IllegalArgumentException(
                    "volume name '" + name + "' is not 1 to 128 of the characters A-Z a-z 0-9 . _ -");
        }
        if (createBytes < 0) {
            throw new IllegalArgumentException("volume " + name + ": size " + createBytes);
        }
    }

    /** A read-write volume on an existing image. */
    public static VolumeSpec existing(String name, Path image) {
        return new VolumeSpec(name, image, 0, false);
    }

    /** A read-write volume whose image is created if it is missing. */
    public static VolumeSpec created(String name, Path image, long sizeBytes) {
        return new VolumeSpec(name, image, sizeBytes, false);
    }

    /**
     * Reads {@code NAME=IMAGE[,size=20G][,readonly]}. The options are looked for at the end, so that a path may hold commas.
     *
     * @throws IllegalArgumentException with one line for the operator
     */
    public static VolumeSpec parse(String text) {
        int equals = text.indexOf('=');
        if (equals <= 0 || equals == text.length() - 1) {
            throw new IllegalArgumentException("'" + text + "' is not NAME=IMAGE[,size=20G][,readonly]");
        }
        String name = text.substring(0, equals);
        String path = text.substring(equals + 1);
        long createBytes = 0;
        boolean readOnly = false;
        while (true) {
            int comma = path.lastIndexOf(',');
            String option = path.substring(comma + 1);
            if (comma > 0 && option.equals("readonly")) {
                readOnly = true;
            } else if (comma > 0 && option.startsWith("size=")) {
                createBytes = bytes(option.substring("size=".length()));
            } else {
                return new VolumeSpec(name, Path.of(path), createBytes, readOnly);
            }
            path = path.substring(0, comma);
        }
    }

    /** Reads a number of bytes with an optional K, M, G or T (powers of 1024). */
    static long bytes(String text) {
        Matcher matcher = SIZE.matcher(text);
        if (!matcher.matches()) {
            throw new IllegalArgumentException("'" + text + "' is not a size such as 512M or 20G");
        }
        long number = Long.parseLong(matcher.group(1));
        int shift = 10 * (SUFFIXES.indexOf(matcher.group(2)) + 1);
        if (matcher.group(2).isEmpty()) {
            shift = 0;
        }
        if (number == 0 || number > Long.MAX_VALUE >> shift) {
            throw new IllegalArgumentException("'" + text + "' is no size a volume can have");
        }
        return number << shift;
    }
}
