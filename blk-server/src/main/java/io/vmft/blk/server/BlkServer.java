package io.vmft.blk.server;

import io.vmft.blk.applier.Applier;
import io.vmft.blk.control.ControlServer;
import io.vmft.blk.control.Coordinator;
import io.vmft.blk.control.RecoveredVms;
import io.vmft.blk.control.Recovery;
import io.vmft.blk.control.RecoveryPlan;
import io.vmft.blk.export.Exports;
import io.vmft.blk.inspect.LiveData;
import io.vmft.blk.journal.Journal;
import io.vmft.blk.journal.JournalBudget;
import io.vmft.blk.journal.LaneMarks;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.Watermarks;
import io.vmft.blk.nbd.ListenAddress;
import io.vmft.blk.nbd.NbdServer;
import io.vmft.blk.operator.OperatorService;
import io.vmft.blk.volume.Volume;
import io.vmft.blk.volume.VolumeTable;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A running block server. Thread-safe. It owns everything it started until {@link #close}. */
public final class BlkServer implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(BlkServer.class);

    /** In the order they were started; closed in the opposite one. */
    private final Deque<AutoCloseable> parts;

    private final VolumeTable volumes;
    private final JournalBudget budget;
    private final Coordinator coordinator;
    private final Applier applier;
    private final ControlServer control;
    private final NbdServer nbd;
    private final AtomicBoolean closed = new AtomicBoolean();

    private BlkServer(
            Deque<AutoCloseable> parts,
            VolumeTable volumes,
            JournalBudget budget,
            Coordinator coordinator,
            Applier applier,
            ControlServer control,
            NbdServer nbd) {
        this.parts = parts;
        this.volumes = volumes;
        this.budget = budget;
        this.coordinator = coordinator;
        this.applier = applier;
        this.control = control;
        this.nbd = nbd;
    }

    /**
     * Recovers and starts; when it returns, clients can connect.
     *
     * @throws IOException with one line for the operator; then nothing is left running
     */
    public static BlkServer start(BlkServerConfig config) throws IOException {
        Deque<AutoCloseable> parts = new ArrayDeque<>();
        try {
            return start(config, parts);
        } catch (IOException | RuntimeException e) {
            closeAll(parts);
            throw e;
        }
    }

    private static BlkServer start(BlkServerConfig config, Deque<AutoCloseable> parts) throws IOException {
        DataDirectory data = DataDirectory.open(config.files(), config.data());
        parts.push(data);
        MetaStore meta = MetaStore.open(data.index());
        parts.push(meta);
        RecoveredVms vms = Recovery.load(meta);
        VolumeSetup setup = new VolumeSetup(config, meta);
        parts.push(setup);
        setup.open(vms);

        Map<Integer, LaneMarks> marks = setup.marks();
        Watermarks known = Watermarks.of(marks, Recovery.settledLanes(vms));
        long openedNanos = System.nanoTime();
        JournalBudget budget = new JournalBudget(
                config.journal().limitBytes(), config.journal().writerPatience());
        Journal.Opened opened =
                Journal.open(config.files(), data.journal(), config.journal().segmentBytes(), meta, budget, known);
        parts.push(opened.journal());
        config.files().syncDirectory(config.data());
        VolumeTable volumes = setup.volumes(opened, marks, data);
        parts.push(() -> closeImages(volumes));
        RecoveryPlan plan = Recovery.run(meta, opened, volumes, vms, config.bootId(), InstantSource.system());
        LOG.info("{}", Recovery.report(plan, Duration.ofNanos(System.nanoTime() - openedNanos)));

        Applier applier =
                Applier.start(opened.journal(), volumes.all(), config.journal().applyInterval());
        parts.push(applier);
        budget.whenFull(applier::makeRoom);
        applier.look();
        Coordinator coordinator =
                new Coordinator(volumes, opened.journal(), meta, applier, InstantSource.system(), vms);
        OperatorService operators = new OperatorService(coordinator, new LiveData(meta, opened.journal(), volumes));
        ControlServer control = ControlServer.start(config.control(), coordinator, operators);
        parts.push(control);
        parts.push(operators);
        data.announce(announced(config, control.address()));
        NbdServer nbd = NbdServer.start(volumes, config.listen(), config.nbdLimits(), config.tls());
        parts.push(nbd);
        parts.push(() -> {
            budget.close();
            volumes.close();
        });
        return new BlkServer(parts, volumes, budget, coordinator, applier, control, nbd);
    }

    /** The control address as clients on this host reach it. */
    static String announced(BlkServerConfig config, InetSocketAddress control) {
        String host = config.control().getAddress().isAnyLocalAddress()
                ? "localhost"
                : control.getAddress().getHostAddress();
        return new ListenAddress.Tcp(host, control.getPort()).toString();
    }

    /** Where engines connect, with the port that was found for port 0. */
    public InetSocketAddress controlAddress() {
        return control.address();
    }

    /** Where NBD is served, in the order asked for, with the ports that were found for port 0. */
    public List<ListenAddress> nbdAddresses() {
        return nbd.addresses();
    }

    /** What the NBD server serves, for callers in the same process. */
    public Exports exports() {
        return volumes;
    }

    /** What the control service asks, for callers in the same process. */
    public Coordinator coordinator() {
        return coordinator;
    }

    /** The volumes as they stand, for tests and for showing them. */
    public VolumeTable volumes() {
        return volumes;
    }

    /** How full the journal is. */
    public JournalBudget journalBudget() {
        return budget;
    }

    /**
     * As {@link #close}, and puts what is committed into the images before, for as long as {@code limit}: after that a closed VM's image
     * is whole without this server. What was not reached is logged by volume.
     */
    public void settleAndClose(Duration limit) {
        applier.settleOnClose(limit);
        close();
    }

    /** Cuts connections, finishes what runs, and returns when nothing is left. What the journal holds stays there. */
    @Override
    public void close() {
        if (closed.compareAndSet(false, true)) {
            closeAll(parts);
        }
    }

    private static void closeAll(Deque<AutoCloseable> parts) {
        while (!parts.isEmpty()) {
            try {
                parts.pop().close();
            } catch (Exception e) {
                LOG.warn("closing: {}", e.toString());
            }
        }
    }

    private static void closeImages(VolumeTable volumes) {
        for (Volume volume : volumes.all()) {
            try {
                volume.close();
            } catch (IOException e) {
                LOG.error("{}: closing its image: {}", volume.name(), e.toString());
            }
        }
    }
}
