package io.vmft.blk.overlay;

/**
 * Which layers a reader looks through.
 *
 * @param uncommitted those that are not committed too
 * @param sincePoint of the committed ones, those committed after this point or a later one
 * @param beforePoint and before this one
 */
public record Horizon(boolean uncommitted, long sincePoint, long beforePoint) {
    /** Every write. */
    public static final Horizon NEWEST = new Horizon(true, 0, Long.MAX_VALUE);

    /** Every committed write. */
    public static final Horizon COMMITTED = new Horizon(false, 0, Long.MAX_VALUE);

    /** What was committed when {@code point} was made. */
    public static Horizon of(long point) {
        return new Horizon(false, 0, point);
    }

    boolean has(Layer committed) {
        return committed.afterPoint() >= sincePoint && committed.afterPoint() < beforePoint;
    }
}
