package io.vmft.blk.crash;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** Cuts the power at points of a recording and judges what a server makes of what is left. Not thread-safe. */
final class PowerCuts implements AutoCloseable {
    /** Of so many points one also looks at the images alone. */
    private static final int IMAGE_CHECK_EVERY = 8;

    private final long seed;
    private final WorkFolder work;
    private final Arena arena = Arena.ofShared();
    private final List<TraceRecord> records;
    private final List<Judge> judges = new ArrayList<>();
    private final @Nullable SecondCut second;
    private final int secondEvery;
    private long secondPoints;

    /** A point whose state broke the promise. */
    static final class Violation extends AssertionError {
        private static final long serialVersionUID = 1;

        private final long seed;
        private final long point;

        Violation(long seed, long point, Throwable cause) {
            super("seed " + seed + ", point " + point + ": " + cause.getMessage(), cause);
            this.seed = seed;
            this.point = point;
        }

        long seed() {
            return seed;
        }

        long point() {
            return point;
        }
    }

    private record Point(long number, int cut) {}

    PowerCuts(Recording recording, long seed, WorkFolder work) throws IOException {
        this(recording, seed, work, null, Integer.MAX_VALUE);
    }

    /**
     * Prepares.
     *
     * @param second where recoveries are cut too; null: they are not
     * @param secondEvery of so many points one
     */
    PowerCuts(Recording recording, long seed, WorkFolder work, @Nullable SecondCut second, int secondEvery)
            throws IOException {
        this.seed = seed;
        this.work = work;
        this.second = second;
        this.secondEvery = secondEvery;
        this.records = recording.trace().read(0, arena);
        History history = recording.history();
        Party.ALL.forEach(party -> judges.add(new Judge(party, history.of(party))));
    }

    /** The points in which the power was cut twice. */
    long secondPoints() {
        return secondPoints;
    }

    Path disk() {
        return work.path().resolve("cut");
    }

    /**
     * Checks points {@code from} to {@code to − 1}. Where a point is depends on the seed and its number only.
     *
     * @param ignoredSyncs as for {@link Disk}
     * @throws Violation at the first that is wrong, with the disk left in {@link #disk}
     */
    void check(long from, long to, Predicate<String> ignoredSyncs) throws Exception {
        List<Point> points = new ArrayList<>();
        for (long number = from; number < to; number++) {
            points.add(new Point(number, 1 + random(number).nextInt(records.size())));
        }
        points.sort(Comparator.comparingInt(Point::cut));
        Disk disk = new Disk(ignoredSyncs);
        int applied = 0;
        for (Point point : points) {
            for (; applied < point.cut; applied++) {
                disk.apply(records.get(applied));
            }
            try {
                check(point, disk);
            } catch (Exception | AssertionError e) {
                throw new Violation(seed, point.number, e);
            }
        }
    }

    private Random random(long number) {
        return new Random(seed * 0x9E3779B97F4A7C15L + number * 0xBF58476D1CE4E5B9L);
    }

    private void check(Point point, Disk disk) throws Exception {
        Random random = random(point.number);
        int cut = 1 + random.nextInt(records.size());
        Disk.Image image = disk.crashed(random);
        long position = records.get(cut - 1).end();
        Map<String, byte[]> contents;
        Path folder = work.empty("cut");
        Disk.write(image, folder);
        try (Recovered server = new Recovered(folder, "boot 2")) {
            server.check(judges, position, random);
            contents = server.contents();
            if (random.nextInt(IMAGE_CHECK_EVERY) == 0) {
                server.checkImages();
            }
        }
        if (second != null && point.number % secondEvery == 0) {
            secondPoints += second.check(image, judges, position, contents, random, work);
        }
    }

    @Override
    public void close() {
        arena.close();
    }
}
