package io.vmft.bench.nbd;

import io.vmft.bench.Result;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/** The results as Markdown tables, a line for each workload. */
final class Tables {
    private record Column(String title, String suffix) {}

    private static final List<Column> PLAIN = List.of(
            new Column("op/s", "blk-server"),
            new Column("÷ nbdkit", "vs-nbdkit"),
            new Column("÷ qemu-nbd", "vs-qemu-nbd"),
            new Column("÷ nbd-server", "vs-nbd-server"),
            new Column("CPU µs/op", "blk-server/cpu"),
            new Column("CPU ÷ nbdkit", "cpu-vs-nbdkit"),
            new Column("p99 ÷ nbdkit", "p99-vs-nbdkit"));

    private static final List<Column> PROTECTED = List.of(
            new Column("op/s", "protected"),
            new Column("÷ unprotected", "vs-unprotected"),
            new Column("÷ nbdkit", "vs-nbdkit"),
            new Column("CPU µs/op", "protected/cpu"),
            new Column("CPU ÷ unprotected", "cpu-vs-unprotected"),
            new Column("p99 ÷ nbdkit", "p99-vs-nbdkit"),
            new Column("fsync ÷ round trip", "fsync-vs-round-trip"));

    private static final List<Column> MEMORY =
            List.of(new Column("peak MiB", "peak"), new Column("final MiB", "final"));

    private Tables() {}

    static String of(List<Result> results) {
        Map<String, Double> medians = new HashMap<>();
        results.forEach(result -> medians.put(result.name(), result.median()));
        StringBuilder text = new StringBuilder();
        table(text, medians, rows(results, "/vs-nbd-server"), PLAIN);
        table(text, medians, rows(results, "/vs-unprotected"), PROTECTED);
        table(text, medians, rows(results, "/peak"), MEMORY);
        return text.toString();
    }

    /** Names that have a result with this ending, without it. */
    private static Set<String> rows(List<Result> results, String ending) {
        Set<String> rows = new LinkedHashSet<>();
        for (Result result : results) {
            if (result.name().endsWith(ending)) {
                rows.add(result.name().substring(0, result.name().length() - ending.length()));
            }
        }
        return rows;
    }

    private static void table(StringBuilder text, Map<String, Double> medians, Set<String> rows, List<Column> columns) {
        if (rows.isEmpty()) {
            return;
        }
        text.append("\n| |");
        columns.forEach(column -> text.append(' ').append(column.title()).append(" |"));
        text.append("\n|---|").append("---|".repeat(columns.size())).append('\n');
        for (String row : rows) {
            text.append("| ").append(row).append(" |");
            for (Column column : columns) {
                Double median = medians.get(row + "/" + column.suffix());
                text.append(' ').append(median == null ? "–" : number(median)).append(" |");
            }
            text.append('\n');
        }
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, value >= 1000 ? "%.0f" : value >= 10 ? "%.1f" : "%.2f", value);
    }
}
