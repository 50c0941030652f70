package io.vmft.engine.config;

import java.util.BitSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Processors of a host by their numbers, written as the kernel writes them: {@code 0-1,3}.
 *
 * @param cpus not to be changed; empty: whichever
 */
public record CpuList(BitSet cpus) {
    /** No choice. */
    public static final CpuList ANY = new CpuList(new BitSet());

    /** The kernel's own limit in distributions. */
    public static final int MAX_CPUS = 8192;

    private static final Pattern RANGE = Pattern.compile("\\s*(\\d{1,5})\\s*(?:-\\s*(\\d{1,5})\\s*)?");

    /**
     * Reads a list.
     *
     * @throws IllegalArgumentException if it is none; the message says how to write one
     */
    public static CpuList parse(String text) {
        BitSet cpus = new BitSet();
        for (String part : text.split(",", -1)) {
            Matcher range = RANGE.matcher(part);
            if (!range.matches()) {
                throw new IllegalArgumentException("\"" + text + "\" is not a list of processors; write it like 0-1,3");
            }
            int first = Integer.parseInt(range.group(1));
            int last = range.group(2) == null ? first : Integer.parseInt(range.group(2));
            if (last < first || last >= MAX_CPUS) {
                throw new IllegalArgumentException("\"" + text + "\": processors are numbered from 0 to "
                        + (MAX_CPUS - 1) + ", and a range goes up");
            }
            cpus.set(first, last + 1);
        }
        return new CpuList(cpus);
    }

    public boolean isAny() {
        return cpus.isEmpty();
    }

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        for (int first = cpus.nextSetBit(0); first >= 0; ) {
            int last = cpus.nextClearBit(first) - 1;
            text.append(text.isEmpty() ? "" : ",").append(first);
            if (last > first) {
                text.append('-').append(last);
            }
            first = cpus.nextSetBit(last + 1);
        }
        return text.toString();
    }
}
