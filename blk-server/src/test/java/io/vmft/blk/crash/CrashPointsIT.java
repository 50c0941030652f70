package io.vmft.blk.crash;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.crash.PowerCuts.Violation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A power cut at any point of what servers did to their disk loses nothing that was promised. With {@code ./vmft soak journal} as many
 * points as one likes; {@code --replay FOLDER --point P} is a failing one again.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class CrashPointsIT {
    private static final long POINTS = Long.getLong("vmft.crash.points", 2_100);
    private static final long FIRST_SEED = Long.getLong("vmft.crash.seed", 1);
    private static final int THREADS = Integer.getInteger("vmft.crash.threads", 2);
    private static final long POINTS_EACH = Math.min(2_000, Math.max(1, POINTS / 3));
    private static final int SECOND_CUT_EVERY = 35;
    private static final int MOST_UNTIL_FOUND = 1_000;
    private static final int STRIDE = 25;
    private static final Path KEPT = Path.of("target/crash-points").toAbsolutePath();

    /** How far a long run is: what a test prints is kept back until it ends. */
    private static final Path PROGRESS = KEPT.resolve("progress");

    private final Quiet quiet = new Quiet();
    /** One pool for all seeds: with new threads the C library takes new memory too, and keeps it. */
    private final ExecutorService threads = Executors.newFixedThreadPool(THREADS);

    /** Of the first seed; made when it is first needed. */
    private @Nullable WorkFolder firstFolder;

    private @Nullable Recording first;

    @AfterAll
    void end() throws Exception {
        quiet.close();
        threads.close();
        if (firstFolder != null) {
            firstFolder.close();
        }
    }

    private Recording first() throws Exception {
        if (first == null) {
            firstFolder = WorkFolder.make("points");
            first = record(firstFolder, FIRST_SEED);
        }
        return first;
    }

    private static Recording record(WorkFolder work, long seed) throws Exception {
        Recording recording = Recorder.record(work.empty("recording"), seed);
        Files.writeString(recording.folder().resolve("seed"), Long.toString(seed));
        return recording;
    }

    @Test
    void noPowerCutBreaksThePromise(@TempDir Path folder) throws Exception {
        String replayed = System.getProperty("vmft.crash.replay", "");
        if (!replayed.isEmpty()) {
            replay(Path.of(replayed), Long.getLong("vmft.crash.point", 0));
            return;
        }
        Files.createDirectories(KEPT);
        Files.deleteIfExists(PROGRESS);
        long done = 0;
        long twice = 0;
        List<SecondCut> seconds = new ArrayList<>();
        try {
            for (int i = 0; i < THREADS; i++) {
                seconds.add(new SecondCut(folder.resolve("recovery-" + i + ".log")));
            }
            for (long seed = FIRST_SEED; done < POINTS; seed++) {
                long points = Math.min(POINTS - done, POINTS_EACH);
                twice += checkSeed(seed, points, seconds);
                done += points;
                tell("seed %d: %d points are right, %d in all, %d more with a second cut%n"
                        .formatted(seed, points, done, twice));
            }
        } finally {
            for (SecondCut second : seconds) {
                second.close();
            }
        }
    }

    private static void tell(String line) throws IOException {
        System.out.print(line);
        Files.writeString(PROGRESS, line, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    private long checkSeed(long seed, long points, List<SecondCut> seconds) throws Exception {
        if (seed == FIRST_SEED) {
            return check(first(), seed, points, seconds);
        }
        // Where syncs take no time others hardly come between; where they do it takes long.
        try (WorkFolder work = seed % 4 == 0 ? WorkFolder.onDisk("points") : WorkFolder.make("points")) {
            return check(record(work, seed), seed, points, seconds);
        }
    }

    /** At how many points the power was cut a second time. */
    private long check(Recording recording, long seed, long points, List<SecondCut> seconds) throws Exception {
        List<Future<Long>> parts = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            long from = points * i / THREADS;
            long to = points * (i + 1) / THREADS;
            SecondCut second = seconds.get(i);
            Callable<Long> part = () -> checkPart(recording, seed, from, to, second);
            parts.add(threads.submit(part));
        }
        long twice = 0;
        for (Future<Long> part : parts) {
            twice += part.get();
        }
        return twice;
    }

    private static long checkPart(Recording recording, long seed, long from, long to, SecondCut second)
            throws Exception {
        try (WorkFolder states = WorkFolder.make("states");
                PowerCuts cuts = new PowerCuts(recording, seed, states, second, SECOND_CUT_EVERY)) {
            try {
                cuts.check(from, to, _ -> false);
            } catch (Violation e) {
                throw kept(e, recording, cuts);
            }
            return cuts.secondPoints();
        }
    }

    private static AssertionError kept(Violation e, Recording recording, PowerCuts cuts) throws Exception {
        Path folder = KEPT.resolve("seed-" + e.seed());
        WorkFolder.copy(recording.folder(), folder);
        WorkFolder.copy(cuts.disk(), folder.resolve("found-" + e.point()));
        return new AssertionError(
                e.getMessage() + "\nagain: ./vmft soak journal --replay " + folder + " --point " + e.point()
                        + "\nthe disk the server found: " + folder.resolve("found-" + e.point()),
                e);
    }

    private static void replay(Path folder, long point) throws Exception {
        long seed = Long.parseLong(Files.readString(folder.resolve("seed")));
        try (WorkFolder states = WorkFolder.make("states");
                PowerCuts cuts = new PowerCuts(new Recording(folder), seed, states)) {
            cuts.check(point, point + 1, _ -> false);
        }
    }

    /** Each leaves out the syncs of one kind of file or folder, as a server would that forgot them. */
    @ParameterizedTest
    @ValueSource(strings = {".segment", ".log", ".img", "data/journal/", "data/index/", "data/"})
    void aServerThatForgetsASyncIsFoundOut(String forgotten) throws Exception {
        Predicate<String> ignored = name -> name.endsWith(forgotten);
        try (WorkFolder states = WorkFolder.make("states");
                PowerCuts cuts = new PowerCuts(first(), FIRST_SEED, states)) {
            @Nullable Violation found = null;
            for (int from = 0; found == null && from < MOST_UNTIL_FOUND; from += STRIDE) {
                try {
                    cuts.check(from, from + STRIDE, ignored);
                } catch (Violation e) {
                    found = e;
                }
            }
            assertThat(found)
                    .as("what goes wrong without syncs of %s", forgotten)
                    .isNotNull();
            System.out.println(forgotten + " not synced: " + found);
        }
    }
}
