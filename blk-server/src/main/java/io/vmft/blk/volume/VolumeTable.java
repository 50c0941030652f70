package io.vmft.blk.volume;

import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportRefusedException.Reason;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.Exports;
import io.vmft.blk.export.ViewOwner;
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
            if (!entry.getValue().offer().admits(client)) {
                continue;
            }
            Admission admission = entry.getValue().admission();
            if (admission.heldBy() == null) {
                names.add(entry.getKey());
                continue;
            }
            names.add(entry.getKey() + "@" + Pins.EXPORT);
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
    public ExportView open(String exportName, ClientIdentity client, ViewOwner owner) throws ExportRefusedException {
        ExportName name = ExportName.parse(exportName);
        Volume volume = volume(name, client);
        String which = name.which();
        if (which != null && Pins.isNamedBy(which)) {
            return pin(volume, which, owner);
        }
        return enter(volume, new VolumeView(volume, generation(name), name.session(), owner));
    }

    /** A view of what is committed now, for this server's operator, whoever else is admitted. */
    public CommittedView committed(String name, ViewOwner owner) throws ExportRefusedException {
        Volume volume = volumes.get(name);
        if (volume == null) {
            throw new ExportRefusedException(
                    Reason.UNKNOWN,
                    "there is no volume " + name + "; there are " + String.join(", ", volumes.keySet()));
        }
        return volume.pins().open(Pins.OPERATOR, owner);
    }

    @Override
    public ExportView look(String exportName, ClientIdentity client) throws ExportRefusedException {
        ExportName name = ExportName.parse(exportName);
        Volume volume = volume(name, client);
        String which = name.which();
        if (which != null && Pins.isNamedBy(which)) {
            return volume.pins().look(which);
        }
        VolumeView view = new VolumeView(volume, generation(name), name.session(), _ -> {});
        checkAdmitted(volume, view);
        view.displace("it was opened only to be looked at");
        return view;
    }

    // An empty name is the specification's default export; which one is meant is clear only where there is one.
    private Volume volume(ExportName name, ClientIdentity client) throws ExportRefusedException {
        boolean byDefault = name.volume().isEmpty() && volumes.size() == 1;
        Volume volume = byDefault ? volumes.firstEntry().getValue() : volumes.get(name.volume());
        if (volume == null) {
            throw new ExportRefusedException(
                    Reason.UNKNOWN,
                    name.volume().isEmpty()
                            ? "there are several volumes, none of them the default; name one"
                            : "there is no volume of that name");
        }
        if (!volume.offer().admits(client)) {
            Reason reason = client.certificateName() == null ? Reason.CERTIFICATE : Reason.POLICY;
            throw new ExportRefusedException(reason, notAdmitted(volume.name(), client));
        }
        return volume;
    }

    private static long generation(ExportName name) throws ExportRefusedException {
        String digits = name.which();
        if (digits == null) {
            return Admission.BARE;
        }
        if (!GENERATION.matcher(digits).matches()) {
            throw new ExportRefusedException(
                    Reason.UNKNOWN,
                    name.volume() + ": what follows the @ is neither a generation number nor " + Pins.EXPORT);
        }
        return Long.parseLong(digits);
    }

    private ExportView pin(Volume volume, String which, ViewOwner owner) throws ExportRefusedException {
        ExportView view = volume.pins().open(which, owner);
        if (closed) {
            view.close();
            throw new ExportRefusedException(Reason.SHUTDOWN, "the server is shutting down");
        }
        return view;
    }

    // Registered first and looked at afterwards, so that a change of admission either refuses here or finds the view to
    // cut.
    private ExportView enter(Volume volume, VolumeView view) throws ExportRefusedException {
        volume.register(view);
        try {
            checkAdmitted(volume, view);
            if (!view.readOnly()) {
                volume.entrance().enter(view);
                checkAdmitted(volume, view);
            }
            return view;
        } catch (ExportRefusedException e) {
            volume.forget(view);
            throw e;
        }
    }

    private void checkAdmitted(Volume volume, VolumeView view) throws ExportRefusedException {
        if (closed) {
            throw new ExportRefusedException(Reason.SHUTDOWN, "the server is shutting down");
        }
        Admission admission = volume.admission();
        if (admission.role(view.generation()) == Admission.Role.NONE) {
            throw new ExportRefusedException(Reason.POLICY, refusal(volume, admission, view.generation()));
        }
        if (view.isDisplaced()) {
            throw new ExportRefusedException(
                    Reason.POLICY, volume.name() + ": a newer connection came while this one was waiting");
        }
    }

    private static String notAdmitted(String name, ClientIdentity client) {
        return client.certificateName() == null
                ? name + " is only for clients that show a certificate; connect with TLS and one"
                : name + " is not for " + client.certificateName() + "; add that name to the volume's allow list";
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
