package io.vmft.blk.server;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.vmft.blk.inspect.OfflineListing;
import io.vmft.config.ConfigException;
import io.vmft.proto.blk.v1.JournalEpoch;
import io.vmft.proto.blk.v1.JournalReply;
import io.vmft.proto.blk.v1.JournalSegment;
import java.io.IOException;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The command line {@code blk-server journal}. Exit status: 0 listed, 1 not all of it could be, 2 wrong arguments. */
@Command(name = "journal", description = "Shows what the journal holds.", subcommands = JournalCommand.Ls.class)
final class JournalCommand {
    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "show this")
    @SuppressWarnings("UnusedVariable") // picocli reads it
    private boolean help;

    /** {@code journal ls}. */
    @Command(
            name = "ls",
            description = {
                "Lists epochs by volume, and segments.",
                "An epoch is open, sealed, committed, applied (in the image) or dropped (undone by a takeover)."
            },
            sortOptions = false)
    static final class Ls extends PlacedCommand {
        @Option(names = "--json", description = "for programs: {\"epochs\": [...], \"segments\": [...]}")
        private boolean json;

        @Override
        int run(ServerPlace server, PrintStream to) throws IOException, ConfigException {
            List<JournalReply> found = new ArrayList<>();
            server.look(
                    client -> {
                        client.listJournal(found::add);
                        return true;
                    },
                    data -> found.addAll(OfflineListing.run(data)));
            List<JournalEpoch> epochs = found.stream()
                    .filter(JournalReply::hasEpoch)
                    .map(JournalReply::getEpoch)
                    .toList();
            List<JournalSegment> segments = found.stream()
                    .filter(JournalReply::hasSegment)
                    .map(JournalReply::getSegment)
                    .toList();
            if (json) {
                to.println(json(epochs, segments));
            } else {
                print(epochs, segments, to);
            }
            if (segments.stream().anyMatch(JournalSegment::getUnreadable)) {
                throw new IOException("not all of the journal could be read; see blk-server check");
            }
            return 0;
        }

        private static String state(JournalEpoch epoch) {
            return epoch.getState().name().toLowerCase(Locale.ROOT);
        }

        private static void print(List<JournalEpoch> epochs, List<JournalSegment> segments, PrintStream to) {
            TextTable byEpoch = new TextTable("VOLUME", "VM", "EPOCH", "STATE", "RECORDS", "BYTES", "SEQUENCE");
            for (JournalEpoch epoch : epochs) {
                byEpoch.add(
                        epoch.getVolume(),
                        epoch.getVm().isEmpty() ? "-" : epoch.getVm(),
                        epoch.getEpoch(),
                        state(epoch),
                        epoch.getRecords(),
                        epoch.getBytes(),
                        epoch.getFirstSequence() + "-" + epoch.getLastSequence());
            }
            byEpoch.printTo(to);
            to.println();
            TextTable bySegment = new TextTable("SEGMENT", "ID", "STATE", "USED", "SIZE", "FILL", "SEQUENCE");
            for (JournalSegment segment : segments) {
                bySegment.add(
                        segment.getFile(),
                        segment.getId(),
                        segment.getUnreadable() ? "UNREADABLE" : segment.getActive() ? "filling" : "closed",
                        segment.getUsedBytes(),
                        segment.getSizeBytes(),
                        segment.getUsedBytes() * 100 / Math.max(1, segment.getSizeBytes()) + "%",
                        segment.getFirstSequence() + "-" + segment.getLastSequence());
            }
            bySegment.printTo(to);
        }

        private static String json(List<JournalEpoch> epochs, List<JournalSegment> segments) {
            ObjectNode all = new ObjectMapper().createObjectNode();
            ArrayNode byEpoch = all.putArray("epochs");
            for (JournalEpoch epoch : epochs) {
                byEpoch.addObject()
                        .put("volume", epoch.getVolume())
                        .put("vm", epoch.getVm())
                        .put("epoch", epoch.getEpoch())
                        .put("state", state(epoch))
                        .put("records", epoch.getRecords())
                        .put("bytes", epoch.getBytes())
                        .put("first_sequence", epoch.getFirstSequence())
                        .put("last_sequence", epoch.getLastSequence());
            }
            ArrayNode bySegment = all.putArray("segments");
            for (JournalSegment segment : segments) {
                bySegment
                        .addObject()
                        .put("file", segment.getFile())
                        .put("id", segment.getId())
                        .put("filling", segment.getActive())
                        .put("unreadable", segment.getUnreadable())
                        .put("used_bytes", segment.getUsedBytes())
                        .put("size_bytes", segment.getSizeBytes())
                        .put("first_sequence", segment.getFirstSequence())
                        .put("last_sequence", segment.getLastSequence());
            }
            return all.toString();
        }
    }
}
