package io.vmft.engine.config;

import java.util.Locale;

/** What becomes of a guest's request that the block server refuses. */
public enum DiskErrors {
    /** For want of space the guest stands still until there is room; any other error is the guest's. */
    PAUSE_WHEN_FULL("enospc", "report"),
    /** Every error is the guest's. */
    REPORT("report", "report"),
    /** The guest stands still at every error until the request succeeds. */
    PAUSE("stop", "stop");

    private final String onWrite;
    private final String onRead;

    DiskErrors(String onWrite, String onRead) {
        this.onWrite = onWrite;
        this.onRead = onRead;
    }

    /** QEMU's {@code werror}. */
    public String onWrite() {
        return onWrite;
    }

    /** QEMU's {@code rerror}. */
    public String onRead() {
        return onRead;
    }

    static DiskErrors parse(String text) {
        return switch (text) {
            case "pause-when-full" -> PAUSE_WHEN_FULL;
            case "report" -> REPORT;
            case "pause" -> PAUSE;
            default -> throw new IllegalArgumentException("\"" + text + "\" is none of pause-when-full, report, pause");
        };
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
