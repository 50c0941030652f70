package io.vmft.blk.volume;

import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportRefusedException.Reason;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.Exports;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** The volumes of a server, by name, and the exports made of them. Thread-safe; the set of volumes does not change. */
public final class VolumeTable implements Exports {
    /** What a volume may be called. */
    public static final Pattern NAME = Pattern.compile("[A-Za-z0-9._-]{1,128}");

    private static final Pattern GENERATION = Pattern.compile("[1-9][0-9]{0,17}");

    private final TreeMap<String, Volume> volumes = new TreeMap<>();
    private volatile boolean closed;

    public VolumeTable(Collection<Volume> all) {
        for (Volume volume : all) {
            if (!NAME.matcher(volume.name()).matches() || volumes.put(volume.name(), volume) != null) {
                throw new IllegalArgumentException("volume name " + volume.name());
            }
        }
    }

    public Collection<Volume> all() {
        return volumes.values();
    }

    public @Nullable Volume get(String name) {
        return volumes.get(name);
    }

    @Override
    public List<String> names(ClientIdentity client) {
        List<String> names = new ArrayList<>();
        for (Map.Entry<String, Volume> entry : volumes.entrySet()) {
            Admission admission = entry.getValue().admission();
            if (admission.heldBy() == null) {
                names.add(entry.getKey());
                continue;
            }
            if (admission.primary() != 0 && admission.barred() == null) {
                names.add(entry.getKey() + "@" + admission.primary());
            }
            if (admission.standby() != 0) {
                names.add(entry.getKey() + "@" + admission.standby());
            }
        }
        return names;
    }

    @Override
    public ExportView open(String exportName, ClientIdentity client, Runnable onRevoked) throws ExportRefusedException {
        int at = exportName.lastIndexOf('@');
        String name = at < 0 ? exportName : exportName.substring(0, at);
        Volume volume = volumes.get(name);
        if (volume == null) {
            throw new ExportRefusedException(Reason.UNKNOWN, "there is no volume of that name");
        }
        long generation = Admission.BARE;
        if (at >= 0) {
            String digits = exportName.substring(at + 1);
            if (!GENERATION.matcher(digits).matches()) {
                throw new ExportRefusedException(
                        Reason.UNKNOWN, name + ": what follows the @ is not a generation number");
            }
            generation = Long.parseLong(digits);
        }
        return open(volume, generation, onRevoked);
    }

    // Registered first and looked at afterwards, so that a change of admission either refuses here or finds the view to
    // cut.
    private ExportView open(Volume volume, long generation, Runnable onRevoked) throws ExportRefusedException {
        VolumeView view = new VolumeView(volume, generation, onRevoked);
        volume.register(view);
        Admission admission = volume.admission();
        if (!closed && admission.role(generation) != Admission.Role.NONE) {
            return view;
        }
        volume.forget(view);
        if (closed) {
            throw new ExportRefusedException(Reason.SHUTDOWN, "the server is shutting down");
        }
        throw new ExportRefusedException(Reason.POLICY, refusal(volume, admission, generation));
    }

    private static String refusal(Volume volume, Admission admission, long generation) {
        String name = volume.name();
        if (admission.heldBy() == null) {
            return name + " is held by no VM; open it as " + name + ", without a generation";
        }
        if (generation == Admission.BARE) {
            return name + " is held by VM " + admission.heldBy() + "; its primary opens it as " + name + "@"
                    + admission.primary();
        }
        if (generation == admission.primary() && admission.barred() != null) {
            return name + "@" + generation + ": " + admission.barred();
        }
        return name + "@" + generation + " is fenced; VM " + admission.heldBy() + "'s primary has generation "
                + admission.primary();
    }

    /** Refuses new views and ends all that are open. */
    public void close() {
        closed = true;
        volumes.values().forEach(Volume::revokeAll);
    }
}
