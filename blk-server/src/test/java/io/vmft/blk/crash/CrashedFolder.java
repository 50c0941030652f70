package io.vmft.blk.crash;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The names in one folder: those that are durable, and the changes since, of which a power cut leaves the first few. */
final class CrashedFolder {
    /** Exactly one of both is there. */
    record Entry(@Nullable CrashedFile file, @Nullable CrashedFolder folder) {}

    /**
     * A name that comes, or goes, or both.
     *
     * @param removed null: none
     * @param added null: none
     */
    record Change(
            long index,
            @Nullable String removed,
            @Nullable String added,
            @Nullable Entry entry) {}

    private final Map<String, Entry> durable = new HashMap<>();
    private final Map<String, Entry> current = new HashMap<>();
    private final List<Change> pending = new ArrayList<>();
    private long durableIndex = -1;

    void add(long index, String name, Entry entry) {
        change(new Change(index, null, name, entry));
    }

    void remove(long index, String name) {
        change(new Change(index, name, null, null));
    }

    void rename(long index, String from, String to) {
        change(new Change(index, from, to, current.get(from)));
    }

    /** An entry that was there before anything was recorded. */
    void found(String name, Entry entry) {
        durable.put(name, entry);
        current.put(name, entry);
    }

    private void change(Change change) {
        pending.add(change);
        apply(change, current);
    }

    private static void apply(Change change, Map<String, Entry> names) {
        if (change.removed != null) {
            names.remove(change.removed);
        }
        if (change.added != null && change.entry != null) {
            names.put(change.added, change.entry);
        }
    }

    /** Everything before {@code index} is durable. */
    void sync(long index) {
        int count = 0;
        while (count < pending.size() && pending.get(count).index < index) {
            apply(pending.get(count), durable);
            durableIndex = Math.max(durableIndex, pending.get(count).index);
            count++;
        }
        pending.subList(0, count).clear();
    }

    Map<String, Entry> current() {
        return current;
    }

    /** The newest change that is durable; −1: none. */
    long durableIndex() {
        return durableIndex;
    }

    int pendingCount() {
        return pending.size();
    }

    /** With the changes up to the one with this index, and with those that are durable. */
    Map<String, Entry> upTo(long index) {
        Map<String, Entry> names = new HashMap<>(durable);
        for (Change change : pending) {
            if (change.index <= index) {
                apply(change, names);
            }
        }
        return names;
    }

    /** With the first {@code count} of the changes that are not durable. */
    Map<String, Entry> withFirst(int count) {
        Map<String, Entry> names = new HashMap<>(durable);
        pending.subList(0, count).forEach(change -> apply(change, names));
        return names;
    }
}
