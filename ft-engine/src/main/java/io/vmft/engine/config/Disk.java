package io.vmft.engine.config;

import static io.vmft.config.InvalidValueException.require;

/**
 * One virtio disk.
 *
 * @param volume its name on the block server, without a generation
 */
public record Disk(String volume) {
    public Disk {
        require(
                Names.isName(volume),
                "volume",
                "\"" + volume + "\" is not a volume's name; use letters, digits, '.', '_' and '-'");
    }
}
