package io.vmft.blk.overlay;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.journal.JournalRecord;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.journal.Segment;
import io.vmft.blk.journal.Segments;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.Tuple;
import org.jspecify.annotations.Nullable;

/**
 * The overlay against a model that keeps, for each byte of a small volume, the sequence number of the record it is from: one
 * array for every boundary still of interest, and one for the image.
 */
class OverlayTest {
    private static final int SIZE = 96;

    sealed interface Step {
        record Write(int offset, int length) implements Step {}

        record Freeze() implements Step {}

        /** Commits up to one of the frozen boundaries. */
        record Commit(int which) implements Step {}

        /** Goes back to one of the frozen boundaries, or to the commit point. */
        record TakeOver(int which) implements Step {}

        record BeginApply() implements Step {}

        record EndApply() implements Step {}

        /** Makes a point of what is committed. */
        record Pin() implements Step {}
    }

    @Provide
    Arbitrary<List<Step>> histories() {
        Arbitrary<Step> write = Combinators.combine(
                        Arbitraries.integers().between(0, SIZE - 1),
                        Arbitraries.integers().between(1, 40))
                .as((offset, length) -> new Step.Write(offset, Math.min(length, SIZE - offset)));
        Arbitrary<Integer> which = Arbitraries.integers().between(0, 3);
        return Arbitraries.frequencyOf(
                        Tuple.of(10, write),
                        Tuple.of(3, Arbitraries.create(Step.Freeze::new)),
                        Tuple.of(3, which.map(Step.Commit::new)),
                        Tuple.of(1, which.map(Step.TakeOver::new)),
                        Tuple.of(1, Arbitraries.create(Step.Pin::new)),
                        Tuple.of(2, Arbitraries.create(Step.BeginApply::new)),
                        Tuple.of(2, Arbitraries.create(Step.EndApply::new)))
                .list()
                .ofMaxSize(80);
    }

    @Property(tries = 2000)
    void readsAreTheModels(@ForAll("histories") List<Step> history, @ForAll Random random) {
        Model model = new Model();
        for (Step step : history) {
            model.take(step);
            model.check(0, SIZE);
            int start = random.nextInt(SIZE);
            model.check(start, start + 1 + random.nextInt(SIZE - start));
        }
        model.end();
    }

    private record Boundary(long sequence, List<Long> bytes) {}

    /**
     * A point and what was committed then.
     *
     * @param saved what a later layer's fold found in the image before it, by offset
     */
    private record Pinned(long point, List<Long> bytes, Map<Integer, Long> saved) {}

    private static List<Long> boxed(long[] values) {
        return Arrays.stream(values).boxed().toList();
    }

    private static long[] unboxed(List<Long> values) {
        return values.stream().mapToLong(Long::longValue).toArray();
    }

    private static final class Model {
        private final Segment segment = Segments.untouchable();
        private final Overlay overlay = new Overlay();
        private final Deque<Boundary> frozen = new ArrayDeque<>();
        private final long[] image = new long[SIZE];
        private long[] all = new long[SIZE];
        private Boundary committed = new Boundary(0, boxed(new long[SIZE]));
        private @Nullable Layer applying;
        private long sequence;
        private long written;
        private long released;
        private final List<Pinned> pins = new ArrayList<>();
        private long lastPoint;

        void take(Step step) {
            switch (step) {
                case Step.Write(int offset, int length) -> {
                    sequence++;
                    JournalRecord record = new JournalRecord(segment, 0, RecordKind.WRITE, sequence, offset, length);
                    overlay.insert(record);
                    written += record.budgetBytes();
                    Arrays.fill(all, offset, offset + length, sequence);
                }
                case Step.Freeze() -> {
                    // As a seal does, which has a sequence number itself.
                    sequence++;
                    overlay.freeze(sequence);
                    frozen.addLast(new Boundary(sequence, boxed(all)));
                }
                case Step.Commit(int which) -> commit(pick(which));
                case Step.TakeOver(int which) -> {
                    commit(pick(which));
                    released += overlay.dropAfter(committed.sequence());
                    frozen.clear();
                    all = unboxed(committed.bytes());
                }
                case Step.Pin() -> pin();
                case Step.BeginApply() -> {
                    applying = overlay.takeForApply();
                    assertThat(overlay.isApplying()).isEqualTo(applying != null);
                }
                case Step.EndApply() -> {
                    Layer layer = applying;
                    if (layer != null) {
                        fold(layer);
                    }
                }
            }
            assertThat(overlay.isEmpty()).isEqualTo(written == released);
        }

        private @Nullable Boundary pick(int which) {
            List<Boundary> choices = new ArrayList<>(frozen);
            return which < choices.size() ? choices.get(which) : null;
        }

        private void commit(@Nullable Boundary boundary) {
            if (boundary != null) {
                overlay.commitThrough(boundary.sequence());
                committed = boundary;
                frozen.removeIf(other -> other.sequence() <= boundary.sequence());
            }
        }

        private void pin() {
            if (overlay.isChangedSincePoint()) {
                assertThat(overlay.pin(0)).isNull();
                lastPoint += 10;
                assertThat(overlay.pin(lastPoint)).isEqualTo(new Overlay.Stand(lastPoint, 0));
            } else {
                assertThat(overlay.pin(0)).isEqualTo(new Overlay.Stand(lastPoint, 0));
                assertThat(committed.bytes()).isEqualTo(pins.getLast().bytes());
            }
            long point = lastPoint;
            pins.add(new Pinned(point, committed.bytes(), new HashMap<>()));
        }

        private void save(Layer layer) {
            for (Pinned pin : pins) {
                for (Extent extent : layer.extents()) {
                    for (int i = (int) extent.start(); i < extent.end(); i++) {
                        if (layer.afterPoint() >= pin.point()) {
                            pin.saved().putIfAbsent(i, image[i]);
                        }
                    }
                }
            }
        }

        private void checkPin(Pinned pin) {
            long[] found = new long[SIZE];
            for (Piece piece : overlay.resolve(0, SIZE, Horizon.of(pin.point()))) {
                for (int i = (int) piece.start(); i < piece.end(); i++) {
                    long below = pin.saved().getOrDefault(i, image[i]);
                    found[i] = piece.record() == null ? below : piece.record().sequence();
                }
            }
            assertThat(boxed(found)).isEqualTo(pin.bytes());
        }

        private void fold(Layer layer) {
            save(layer);
            for (Extent extent : layer.extents()) {
                Arrays.fill(
                        image,
                        (int) extent.start(),
                        (int) extent.end(),
                        extent.record().sequence());
            }
            overlay.applied();
            released += layer.budgetBytes();
            applying = null;
        }

        void check(int start, int end) {
            check(start, end, false, all);
            check(start, end, true, unboxed(committed.bytes()));
            pins.forEach(this::checkPin);
            checkLimit(start, end);
        }

        /** A limited answer is the beginning of the whole one. */
        private void checkLimit(int start, int end) {
            List<Piece> whole = overlay.resolve(start, end, Horizon.NEWEST);
            for (int limit = 1; limit <= whole.size(); limit++) {
                assertThat(overlay.resolve(start, end, Horizon.NEWEST, limit)).isEqualTo(whole.subList(0, limit));
            }
        }

        private void check(int start, int end, boolean committedOnly, long[] expected) {
            List<Piece> pieces = overlay.resolve(start, end, committedOnly ? Horizon.COMMITTED : Horizon.NEWEST);
            long[] found = new long[SIZE];
            long at = start;
            for (Piece piece : pieces) {
                assertThat(piece.start()).isEqualTo(at);
                at = piece.end();
                for (int i = (int) piece.start(); i < piece.end(); i++) {
                    found[i] =
                            piece.record() == null ? image[i] : piece.record().sequence();
                }
            }
            Overlay.release(pieces);
            assertThat(at).isEqualTo(end);
            assertThat(Arrays.copyOfRange(found, start, end)).isEqualTo(Arrays.copyOfRange(expected, start, end));
        }

        /** Everything committed and applied: the image has it all, and every journal byte was given back once. */
        void end() {
            overlay.freeze(sequence);
            overlay.commitThrough(sequence);
            for (Layer layer = overlay.takeForApply(); layer != null; layer = overlay.takeForApply()) {
                fold(layer);
            }
            assertThat(image).isEqualTo(all);
            assertThat(released).isEqualTo(written);
            assertThat(overlay.isApplying()).isFalse();
            assertThat(overlay.isEmpty()).isTrue();
        }
    }
}
