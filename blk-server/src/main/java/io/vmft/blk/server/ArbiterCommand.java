package io.vmft.blk.server;

import io.vmft.blk.arbiter.VmState;
import io.vmft.blk.inspect.OfflineArbiter;
import io.vmft.config.ConfigException;
import io.vmft.proto.blk.v1.ArbiterChange;
import io.vmft.proto.blk.v1.ArbiterHistory;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.ShowVmReply;
import java.io.IOException;
import java.io.PrintStream;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** The command line {@code blk-server arbiter}. Exit status: 0 done, 1 refused or failed, 2 wrong arguments. */
@Command(
        name = "arbiter",
        description = "Shows, and sets by hand, who may run which VM.",
        subcommands = {ArbiterCommand.ListVms.class, ArbiterCommand.Show.class, ForceCommand.class})
final class ArbiterCommand {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss.SSS");

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "show this")
    @SuppressWarnings("UnusedVariable") // picocli reads it
    private boolean help;

    /** {@code arbiter list}. */
    @Command(name = "list", description = "Lists VMs.", sortOptions = false)
    static final class ListVms extends PlacedCommand {
        @Override
        int run(ServerPlace server, PrintStream to) throws IOException, ConfigException {
            List<ArbiterRecord> all = server.look(
                    client -> client.list(),
                    data -> OfflineArbiter.list(data).stream()
                            .map(VmState::record)
                            .toList());
            TextTable table =
                    new TextTable("VM", "MODE", "GENERATION", "PRIMARY", "BACKUP", "COMMITTED", "CHANGED", "REASON");
            for (ArbiterRecord record : all) {
                table.add(
                        record.getVm(),
                        record.getMode() + (record.getDataLost() ? ",DATA_LOST" : ""),
                        record.getGeneration(),
                        orDash(record.getPrimary()),
                        orDash(record.getBackup()),
                        record.getCommittedEpoch(),
                        time(record.getChangedAtMillis()),
                        record.getReason());
            }
            table.printTo(to);
            return 0;
        }
    }

    /** {@code arbiter show}. */
    @Command(name = "show", description = "Shows a VM and what happened to it.", sortOptions = false)
    static final class Show extends PlacedCommand {
        @Parameters(index = "0", paramLabel = "VM", description = "its name")
        private String vm = "";

        @Override
        int run(ServerPlace server, PrintStream to) throws IOException, ConfigException {
            ShowVmReply shown = server.look(
                    client -> client.show(vm),
                    data -> OfflineArbiter.show(data, vm).shown());
            require(shown, vm);
            print(shown, to);
            return 0;
        }
    }

    static void require(ShowVmReply shown, String vm) throws IOException {
        if (shown.getRecord().getGeneration() == 0) {
            throw new IOException("there is no VM " + vm + "; see blk-server arbiter list");
        }
    }

    static void print(ShowVmReply shown, PrintStream to) {
        ArbiterRecord record = shown.getRecord();
        TextTable table = new TextTable("vm", record.getVm());
        table.add("mode", record.getMode() + (record.getDataLost() ? ", DATA LOST" : ""));
        table.add(
                "generation",
                record.getGeneration() + " (primary's exports @" + record.getPrimaryGeneration() + ", standby's @"
                        + record.getStandbyGeneration() + ")");
        table.add("primary", orDash(record.getPrimary()));
        table.add("backup", orDash(record.getBackup()));
        table.add("committed", record.getCommittedEpoch());
        table.add(
                "sealed",
                record.getSealedEpoch()
                        + (shown.getInFlightCount() == 0 ? "" : ", not committed: " + shown.getInFlightList()));
        table.add("volumes", record.getVolumesCount() == 0 ? "-" : String.join(", ", record.getVolumesList()));
        table.printTo(to);
        ArbiterHistory history = shown.getHistory();
        to.println();
        if (history.getForgotten() > 0) {
            to.println("(" + history.getForgotten() + " older changes are not remembered)");
        }
        TextTable changes = new TextTable("WHEN", "BY", "GENERATION", "MODE", "PRIMARY", "BACKUP", "COMMITTED", "WHY");
        for (ArbiterChange change : history.getChangesList()) {
            changes.add(
                    time(change.getAtMillis()),
                    change.getBy(),
                    change.getGeneration(),
                    change.getMode(),
                    orDash(change.getPrimary()),
                    orDash(change.getBackup()),
                    change.getCommittedEpoch(),
                    change.getReason());
        }
        changes.printTo(to);
    }

    private static String orDash(String name) {
        return name.isEmpty() ? "-" : name;
    }

    private static String time(long millis) {
        return millis == 0 ? "-" : TIME.format(Instant.ofEpochMilli(millis).atZone(ZoneId.systemDefault()));
    }
}
