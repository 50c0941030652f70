package io.vmft.engine.qmp;

import java.io.IOException;

/** QEMU refused a command. */
public final class QmpException extends IOException {
    private static final long serialVersionUID = 1L;

    private final String command;
    private final String errorClass;
    private final String description;

    QmpException(String command, String errorClass, String description) {
        super("QEMU refused " + command + ": " + description);
        this.command = command;
        this.errorClass = errorClass;
        this.description = description;
    }

    public String command() {
        return command;
    }

    /** QEMU's error class, such as {@code GenericError} or {@code CommandNotFound}. */
    public String errorClass() {
        return errorClass;
    }

    /** QEMU's own words. */
    public String description() {
        return description;
    }
}
