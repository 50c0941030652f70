package io.vmft.demo;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The ledger held against what its client was told.
 *
 * @param lost acknowledged, but not in the ledger
 * @param duplicated in the ledger more than once
 * @param misplaced in the ledger under another number than was acknowledged, or numbered out of order, or never sent
 */
record Audit(long acknowledged, long lost, long duplicated, long misplaced) {

    boolean isClean() {
        return lost == 0 && duplicated == 0 && misplaced == 0;
    }

    /**
     * Compares.
     *
     * @param ledger the file: lines {@code NUMBER TEXT}
     * @param unanswered texts sent without an answer; they may be in the ledger or not
     */
    static Audit of(String ledger, List<History.Entry> acknowledged, List<String> unanswered) {
        Map<String, Long> places = new HashMap<>();
        long duplicated = 0;
        long misplaced = 0;
        long expected = 0;
        for (String line : ledger.lines().toList()) {
            expected++;
            int blank = line.indexOf(' ');
            String number = blank < 0 ? "" : line.substring(0, blank);
            String text = line.substring(blank + 1);
            if (!number.equals(Long.toString(expected))) {
                misplaced++;
            }
            if (places.putIfAbsent(text, expected) != null) {
                duplicated++;
            }
        }
        long lost = 0;
        long found = 0;
        for (History.Entry entry : acknowledged) {
            Long place = places.get(entry.text());
            if (place == null) {
                lost++;
                continue;
            }
            found++;
            if (place != entry.number()) {
                misplaced++;
            }
        }
        long known = found + unanswered.stream().filter(places::containsKey).count();
        return new Audit(acknowledged.size(), lost, duplicated, misplaced + places.size() - known);
    }
}
