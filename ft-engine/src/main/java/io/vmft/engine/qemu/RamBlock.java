package io.vmft.engine.qemu;

import java.nio.ByteBuffer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A piece of guest-visible memory outside the RAM file, such as the firmware's ROM.
 *
 * @param name QEMU's, such as {@code pc.bios}
 * @param contents whole pages of 4 KiB, from position 0; read-only
 */
public record RamBlock(String name, ByteBuffer contents) {
    private static final int PAGE_BYTES = 4096;
    private static final int MAX_NAME_LENGTH = 255;

    public RamBlock {
        contents = contents.asReadOnlyBuffer().rewind();
        if (name.isEmpty() || name.length() > MAX_NAME_LENGTH) {
            throw new IllegalArgumentException("\"" + name + "\" is not a RAM block's name");
        }
        if (contents.limit() == 0 || contents.limit() % PAGE_BYTES != 0) {
            throw new IllegalArgumentException(name + ": " + contents.limit() + " bytes are not whole pages");
        }
    }

    /** A view with a position of its own. */
    @Override
    public ByteBuffer contents() {
        return contents.duplicate();
    }

    /**
     * Finds a block's length in what the monitor's {@code info ramblock} prints.
     *
     * @return bytes; -1 if there is no such block
     */
    static long usedBytes(String listing, String name) {
        Matcher matcher = Pattern.compile(
                        "(?m)^\\s*" + Pattern.quote(name) + "\\s+\\d+ \\wiB\\s+0x[0-9a-f]+\\s+0x0*([0-9a-f]{1,15})\\s")
                .matcher(listing);
        return matcher.find() ? Long.parseLong(matcher.group(1), 16) : -1;
    }
}
