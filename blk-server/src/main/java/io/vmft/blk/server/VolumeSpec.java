package io.vmft.blk.server;

import static io.vmft.config.InvalidValueException.require;

import io.vmft.blk.volume.VolumeTable;
import io.vmft.config.Quantity;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;

/**
 * A volume to serve.
 *
 * @param image a raw image file or a block device
 * @param createBytes the size the image is created with (sparse) if it is missing, and has at least; 0: it must exist
 * @param exclusive whether one client at a time may use it: a newcomer ends all others
 * @param description for people, one line; empty: a common one
 * @param allow names of client certificates that may use it; empty: everybody may
 */
public record VolumeSpec(
        String name,
        Path image,
        long createBytes,
        boolean readOnly,
        boolean exclusive,
        String description,
        Set<String> allow) {
    private static final String FORM = "NAME=IMAGE[,create=20G][,readonly][,exclusive][,allow=CLIENT]...";
    private static final int MAX_DESCRIPTION_BYTES = 1024;

    public VolumeSpec {
        allow = Set.copyOf(allow);
        require(
                VolumeTable.NAME.matcher(name).matches(),
                "name",
                "volume name '" + name + "' is not 1 to 128 of the characters A-Z a-z 0-9 . _ -");
        require(createBytes >= 0, "create", createBytes + " is no size a volume can have");
        require(
                description.getBytes(StandardCharsets.UTF_8).length <= MAX_DESCRIPTION_BYTES
                        && description.lines().count() <= 1,
                "description",
                "is not one line of at most " + MAX_DESCRIPTION_BYTES + " bytes");
        require(!allow.contains(""), "allow", "an empty name");
    }

    /** A read-write volume on an existing image. */
    public static VolumeSpec existing(String name, Path image) {
        return created(name, image, 0);
    }

    /** A read-write volume whose image is created if it is missing. */
    public static VolumeSpec created(String name, Path image, long sizeBytes) {
        return new VolumeSpec(name, image, sizeBytes, false, false, "", Set.of());
    }

    /** The same, but one client at a time may use it: a newcomer ends all others. */
    public VolumeSpec asExclusive() {
        return new VolumeSpec(name, image, createBytes, readOnly, true, description, allow);
    }

    /**
     * Reads {@code NAME=IMAGE[,create=20G][,readonly][,exclusive][,allow=CLIENT]...}; {@code size=} means the same as {@code create=}. The
     * options are looked for at the end, so that a path may hold commas.
     *
     * @throws IllegalArgumentException with one line for the operator
     */
    public static VolumeSpec parse(String text) {
        int equals = text.indexOf('=');
        if (equals <= 0 || equals == text.length() - 1) {
            throw new IllegalArgumentException("'" + text + "' is not " + FORM);
        }
        String name = text.substring(0, equals);
        String path = text.substring(equals + 1);
        long createBytes = 0;
        boolean readOnly = false;
        boolean exclusive = false;
        Set<String> allow = new TreeSet<>();
        while (true) {
            int comma = path.lastIndexOf(',');
            String option = path.substring(comma + 1);
            String value = option.substring(option.indexOf('=') + 1);
            if (comma > 0 && option.equals("readonly")) {
                readOnly = true;
            } else if (comma > 0 && option.equals("exclusive")) {
                exclusive = true;
            } else if (comma > 0 && (option.startsWith("create=") || option.startsWith("size="))) {
                require(createBytes == 0, "volume " + name, "its size is given twice");
                createBytes = size(value);
            } else if (comma > 0 && option.startsWith("allow=")) {
                allow.add(value);
            } else {
                return new VolumeSpec(name, Path.of(path), createBytes, readOnly, exclusive, "", allow);
            }
            path = path.substring(0, comma);
        }
    }

    /**
     * Reads a number of bytes, more than none.
     *
     * @throws IllegalArgumentException with one line for the operator
     */
    static long size(String text) {
        long bytes = Quantity.parseSize(text);
        if (bytes == 0) {
            throw new IllegalArgumentException("\"" + text + "\" is too small");
        }
        return bytes;
    }
}
