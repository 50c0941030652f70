package io.vmft.blk.volume;

import org.jspecify.annotations.Nullable;

/**
 * Who may use a volume now.
 *
 * @param heldBy the VM whose disk it is; null: nobody's, it is served under its bare name
 * @param primary generation of the exports that read and write; 0: none
 * @param standby generation of the exports that read committed data; 0: none
 * @param barred why the primary's exports are not served either, one line; null: they are
 */
public record Admission(
        @Nullable String heldBy,
        long primary,
        long standby,
        @Nullable String barred) {
    /** Generation of a view of the bare name. */
    public static final long BARE = 0;

    public static final Admission FREE = new Admission(null, 0, 0, null);

    /** What a view may do. */
    public enum Role {
        PRIMARY,
        STANDBY,
        NONE
    }

    public Role role(long generation) {
        if (heldBy == null) {
            return generation == BARE ? Role.PRIMARY : Role.NONE;
        }
        if (generation == BARE) {
            return Role.NONE;
        }
        if (generation == primary) {
            return barred == null ? Role.PRIMARY : Role.NONE;
        }
        return generation == standby ? Role.STANDBY : Role.NONE;
    }
}
