package io.vmft.nbd.client.cli;

import io.vmft.nbd.client.NbdExport;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** What one sees of a volume, look after look, in lines for people: only what has changed. Time is a parameter. */
final class Sighting {
    /** What one look found. */
    sealed interface View {
        default boolean isBetterThan(View other) {
            return this instanceof Served mine
                    && (!(other instanceof Served theirs) || mine.generation() > theirs.generation());
        }
    }

    /** The volume is served. */
    record Served(String address, String export, long generation, long sizeBytes) implements View {}

    /** It is not, and why. */
    record Away(String reason) implements View {}

    private @Nullable Served last;
    private boolean away;
    private boolean told;
    private long seenNanos;

    /** The lines to print after a look that began at {@code nowNanos}. */
    List<String> next(View view, long nowNanos) {
        List<String> lines = new ArrayList<>();
        switch (view) {
            case Away(String reason) -> {
                if (!away && (last != null || !told)) {
                    lines.add((last == null ? "not served  " : "lost  ") + reason);
                    told = true;
                }
                away = true;
            }
            case Served served -> {
                served(served, nowNanos, lines);
                last = served;
                away = false;
                seenNanos = nowNanos;
            }
        }
        return lines;
    }

    private void served(Served served, long nowNanos, List<String> lines) {
        Served before = last;
        String pause = String.format(Locale.ROOT, ", pause %.3f s", (nowNanos - seenNanos) / 1e9);
        if (before == null) {
            lines.add("connected  " + served.address() + "  " + served.export() + "  " + served.sizeBytes() + " bytes");
            return;
        }
        if (served.generation() < before.generation()) {
            lines.add("behind  " + served.address() + "  " + served.export() + ", seen was generation "
                    + before.generation());
        } else if (served.generation() != before.generation()) {
            lines.add("moved  " + served.address() + "  " + NbdExport.volume(served.export()) + " from generation "
                    + before.generation() + " to " + served.generation() + pause);
        } else if (away || !served.address().equals(before.address())) {
            lines.add("connected  " + served.address() + "  " + served.export() + pause);
        }
        if (served.sizeBytes() != before.sizeBytes()) {
            lines.add("size  " + served.sizeBytes() + " bytes, before " + before.sizeBytes());
        }
    }
}
