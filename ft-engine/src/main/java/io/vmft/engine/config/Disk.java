package io.vmft.engine.config;

import static io.vmft.config.InvalidValueException.require;

/**
 * One virtio disk.
 *
 * @param volume its name on the block server, without a generation
 * @param errors what becomes of requests that the block server refuses
 */
public record Disk(String volume, DiskErrors errors) {
    public Disk {
        require(
                Names.isName(volume),
                "volume",
                "\"" + volume + "\" is not a volume's name; use letters, digits, '.', '_' and '-'");
    }

    /** One whose guest stands still while there is no room. */
    public Disk(String volume) {
        this(volume, DiskErrors.PAUSE_WHEN_FULL);
    }
}
