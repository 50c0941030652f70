package io.vmft.engine.qemu;

import com.fasterxml.jackson.databind.JsonNode;
import io.vmft.engine.qmp.QmpClient;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A piece of memory the guest can see, as QEMU's monitor lists it.
 *
 * @param name QEMU's, such as {@code pc.bios}
 * @param totalBytes what QEMU has mapped for it
 */
public record RamBlock(String name, long totalBytes) {
    private static final long PAGE_BYTES = 4096;
    private static final Pattern LINE =
            Pattern.compile("(?m)^\\s*(\\S.*?)\\s+\\d+ \\wiB\\s+0x[0-9a-f]+\\s+0x[0-9a-f]+\\s+0x0*([0-9a-f]{1,15})\\b");

    /** Asks QEMU. */
    public static List<RamBlock> list(QmpClient qmp, Duration timeout) throws IOException, InterruptedException {
        JsonNode listing =
                qmp.call("human-monitor-command", QmpClient.arguments().put("command-line", "info ramblock"), timeout);
        return parse(listing.asText());
    }

    /** Reads what the monitor's {@code info ramblock} prints. */
    static List<RamBlock> parse(String listing) {
        List<RamBlock> blocks = new ArrayList<>();
        Matcher matcher = LINE.matcher(listing);
        while (matcher.find()) {
            blocks.add(new RamBlock(matcher.group(1), Long.parseLong(matcher.group(2), 16)));
        }
        return blocks;
    }

    /**
     * The first block that the library did not see QEMU map.
     *
     * @param guestRam the block that is guest RAM
     * @param seenPages pages of those it saw
     */
    public static Optional<RamBlock> firstMissing(List<RamBlock> blocks, String guestRam, List<Long> seenPages) {
        List<Long> unclaimed = new ArrayList<>(seenPages);
        return blocks.stream()
                .filter(block -> !block.name().equals(guestRam))
                .filter(block -> !unclaimed.remove((Long) ((block.totalBytes() + PAGE_BYTES - 1) / PAGE_BYTES)))
                .findFirst();
    }
}
