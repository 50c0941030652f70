package io.vmft.blk.crash;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What every party was answered, in its own order. Thread-safe. */
final class History {
    private final Map<String, List<Event>> events = new HashMap<>();

    synchronized void add(Party party, Event event) {
        events.computeIfAbsent(party.name(), _ -> new ArrayList<>()).add(event);
    }

    synchronized List<Event> of(Party party) {
        return List.copyOf(events.getOrDefault(party.name(), List.of()));
    }

    synchronized void write(Path file) throws IOException {
        List<String> lines = new ArrayList<>();
        events.forEach((party, its) -> its.forEach(event -> lines.add(party + " " + event.text())));
        Files.write(file, lines);
    }

    static History read(Path file) throws IOException {
        History history = new History();
        for (String line : Files.readAllLines(file)) {
            int space = line.indexOf(' ');
            history.events
                    .computeIfAbsent(line.substring(0, space), _ -> new ArrayList<>())
                    .add(Event.parse(line.substring(space + 1)));
        }
        return history;
    }
}
