package io.vmft.blk.crash;

import io.vmft.blk.crash.Event.Change;
import io.vmft.blk.crash.Event.Change.Kind;
import io.vmft.blk.crash.Event.Commit;
import io.vmft.blk.crash.Event.Control;
import io.vmft.blk.crash.Event.Control.Call;
import io.vmft.blk.crash.Event.Flush;
import io.vmft.blk.crash.Event.Seal;
import io.vmft.blk.server.PlainNbd;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CloseRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.EpochReply;
import io.vmft.proto.blk.v1.GetRequest;
import io.vmft.proto.blk.v1.GoSoloRequest;
import io.vmft.proto.blk.v1.Mode;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.Refusal;
import io.vmft.proto.blk.v1.SealRequest;
import io.vmft.proto.blk.v1.TakeOverReply;
import io.vmft.proto.blk.v1.TakeOverRequest;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * A party at work: one request after the other, only commits beside. What it asks for is random, by seed; what it is answered goes into the
 * history. When the server dies it goes on with the next one, as QEMU and engines do: with the request that was not answered.
 */
final class Client implements AutoCloseable {
    private static final int MAX_IN_FLIGHT = 3;

    private final Party party;
    private final Random random;
    private final ServerLives lives;
    private final DiskTrace trace;
    private final History history;
    private final ExecutorService committer = Executors.newSingleThreadExecutor(
            Thread.ofPlatform().daemon().name("commit").factory());
    private final Map<String, Connection> connections = new HashMap<>();
    private final Map<String, Integer> sizes = new HashMap<>();
    private final Deque<Long> sealed = new ArrayDeque<>();
    private CompletableFuture<Void> committing = CompletableFuture.completedFuture(null);
    private ArbiterRecord record;
    private long epoch;
    private int id;

    private record Connection(int life, String export, PlainNbd nbd) {}

    Client(Party party, long seed, ServerLives lives, DiskTrace trace, History history) {
        this.party = party;
        this.random = new Random(seed * 31 + party.name().hashCode());
        this.lives = lives;
        this.trace = trace;
        this.history = history;
        this.record = ArbiterRecord.newBuilder()
                .setVm(party.vm())
                .setMode(Mode.CLOSED)
                .build();
        party.volumes().forEach(volume -> sizes.put(volume, Party.VOLUME_BYTES));
    }

    /** From now on it uses the whole of a volume that has grown. */
    void grown(String volume, int bytes) {
        sizes.put(volume, bytes);
    }

    void work(int steps) throws Exception {
        for (int i = 0; i < steps; i++) {
            step();
        }
        committing.get();
    }

    private void step() throws Exception {
        int dice = random.nextInt(100);
        if (dice < 55) {
            change();
        } else if (dice < 65) {
            flush();
        } else if (!party.vm().isEmpty()) {
            engineStep(dice);
        } else {
            change();
        }
    }

    private void engineStep(int dice) throws Exception {
        switch (record.getMode()) {
            case CLOSED -> {
                if (dice < 75) {
                    open();
                } else {
                    change();
                }
            }
            case SOLO -> {
                if (dice < 85) {
                    control(Call.BEGIN_PROTECT, this::beginProtect);
                } else if (dice < 88) {
                    close(dice);
                } else {
                    change();
                }
            }
            case SYNCING, PROTECTED -> guardedStep(dice);
            default -> throw new IllegalStateException(record.toString());
        }
    }

    private void guardedStep(int dice) throws Exception {
        if (dice < 79) {
            seal();
        } else if (dice < 93) {
            commit();
        } else if (dice < 96 && record.getMode() == Mode.PROTECTED) {
            control(Call.TAKE_OVER, this::takeOver);
        } else if (dice < 98) {
            control(Call.GO_SOLO, this::goSolo);
        } else if (dice < 99) {
            close(dice);
        }
    }

    private void close(int dice) throws Exception {
        if (dice % 2 == 0) {
            control(Call.CLOSE, this::close);
        } else {
            open();
        }
    }

    // ---- volumes
    // -----------------------------------------------------------------------------------------------------

    private interface Io {
        void run(PlainNbd nbd) throws IOException;
    }

    private void change() throws Exception {
        String volume = anyVolume();
        int size = sizes.getOrDefault(volume, 0);
        boolean aligned = random.nextInt(5) > 0;
        int length = 1 + random.nextInt(random.nextInt(8) == 0 ? 24_000 : 4_000);
        int offset = random.nextInt(size - length);
        if (aligned) {
            offset = offset / 512 * 512;
            length = Math.min(size - offset, (length + 511) / 512 * 512);
        }
        Kind kind = switch (random.nextInt(8)) {
            case 0 -> Kind.TRIM;
            case 1 -> Kind.ZERO;
            default -> Kind.WRITE;
        };
        boolean fua = random.nextInt(8) == 0;
        boolean punch = random.nextBoolean();
        Change change = new Change(volume, trace.position(), 0, kind, ++id, offset, length, fua);
        io(volume, nbd -> send(nbd, change, punch));
        history.add(party, new Change(volume, change.begin(), trace.position(), kind, id, offset, length, fua));
    }

    private static void send(PlainNbd nbd, Change change, boolean punch) throws IOException {
        switch (change.kind()) {
            case TRIM -> nbd.trim(change.offset(), change.length(), change.fua());
            case ZERO -> nbd.writeZeroes(change.offset(), change.length(), punch, change.fua());
            case WRITE -> nbd.write(change.offset(), change.bytes(), change.fua());
        }
    }

    private void flush() throws Exception {
        String volume = anyVolume();
        long begin = trace.position();
        io(volume, PlainNbd::flush);
        history.add(party, new Flush(volume, begin, trace.position()));
    }

    private String anyVolume() {
        return party.volumes().get(random.nextInt(party.volumes().size()));
    }

    private void io(String volume, Io io) throws InterruptedException {
        String export = record.getMode() == Mode.CLOSED ? volume : volume + "@" + record.getPrimaryGeneration();
        lives.ask(server -> {
            io.run(connect(server, volume, export));
            return true;
        });
    }

    private PlainNbd connect(RecordedServer server, String volume, String export) throws IOException {
        Connection open = connections.get(volume);
        if (open != null && open.life == lives.life() && open.export.equals(export)) {
            return open.nbd;
        }
        if (open != null) {
            open.nbd.close();
        }
        PlainNbd nbd = new PlainNbd(server.process().nbdPort(), export);
        connections.put(volume, new Connection(lives.life(), export, nbd));
        return nbd;
    }

    // ---- epochs
    // ------------------------------------------------------------------------------------------------------

    private void seal() throws Exception {
        if (sealed.size() >= MAX_IN_FLIGHT) {
            commit();
            return;
        }
        epoch += 1 + random.nextInt(2);
        long begin = trace.position();
        checkAccepted(lives.ask(server -> server.epochs()
                .seal(SealRequest.newBuilder()
                        .setVm(party.vm())
                        .setGeneration(record.getGeneration())
                        .setEpoch(epoch)
                        .build())));
        history.add(party, new Seal(begin, trace.position(), epoch));
        sealed.add(epoch);
    }

    /** Goes on while the newest or the oldest sealed epoch is being committed. */
    private void commit() throws Exception {
        committing.get();
        if (sealed.isEmpty()) {
            return;
        }
        long committed = random.nextBoolean() ? sealed.getFirst() : sealed.getLast();
        sealed.removeIf(some -> some <= committed);
        ArbiterRecord now = record;
        record = record.toBuilder()
                .setMode(Mode.PROTECTED)
                .setCommittedEpoch(committed)
                .build();
        committing = CompletableFuture.runAsync(() -> commit(now.getGeneration(), committed), committer);
        if (now.getMode() == Mode.SYNCING) {
            // Whether a flush before its end counts by itself is not known.
            committing.get();
        }
    }

    private void commit(long generation, long committed) {
        try {
            long begin = trace.position();
            checkAccepted(lives.ask(server -> server.epochs()
                    .commit(CommitRequest.newBuilder()
                            .setVm(party.vm())
                            .setGeneration(generation)
                            .setEpoch(committed)
                            .build())));
            history.add(party, new Commit(begin, trace.position(), committed));
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    private static void checkAccepted(EpochReply reply) {
        if (reply.hasRefusal()) {
            throw new AssertionError(reply.getRefusal().getMessage());
        }
    }

    // ---- who may run it
    // ----------------------------------------------------------------------------------------------

    private void control(Call call, ServerLives.Request<ArbiterRecord> request) throws Exception {
        try {
            committing.get();
        } catch (ExecutionException e) {
            throw new AssertionError(e);
        }
        long begin = trace.position();
        record = lives.ask(request);
        history.add(party, new Control(begin, trace.position(), call, record));
        sealed.clear();
        // Those that are fenced now are cut by the server.
        disconnect();
    }

    /** Two of them are two: whether one was carried out by a server that died must be looked up. */
    private void open() throws Exception {
        long before = record.getGeneration();
        String host = record.getPrimary().isEmpty() ? "hostA" : record.getPrimary();
        control(Call.OPEN, server -> {
            ArbiterRecord found = server.arbiter()
                    .get(GetRequest.newBuilder().setVm(party.vm()).build())
                    .getRecord();
            if (found.getGeneration() > before) {
                return found;
            }
            return accepted(server.arbiter()
                    .open(OpenRequest.newBuilder()
                            .setVm(party.vm())
                            .setHost(host)
                            .addAllVolumes(party.volumes())
                            .build()));
        });
    }

    private ArbiterRecord beginProtect(RecordedServer server) {
        return accepted(server.arbiter()
                .beginProtect(BeginProtectRequest.newBuilder()
                        .setVm(party.vm())
                        .setGeneration(record.getGeneration())
                        .setBackup(otherHost())
                        .build()));
    }

    private ArbiterRecord goSolo(RecordedServer server) {
        return accepted(server.arbiter()
                .goSolo(GoSoloRequest.newBuilder()
                        .setVm(party.vm())
                        .setGeneration(record.getGeneration())
                        .build()));
    }

    private ArbiterRecord close(RecordedServer server) {
        return accepted(server.arbiter()
                .close(CloseRequest.newBuilder()
                        .setVm(party.vm())
                        .setGeneration(record.getGeneration())
                        .build()));
    }

    private ArbiterRecord takeOver(RecordedServer server) {
        long newest = sealed.size() > 1 ? sealed.getFirst() : epoch;
        TakeOverReply reply = server.arbiter()
                .takeOver(TakeOverRequest.newBuilder()
                        .setVm(party.vm())
                        .setGeneration(record.getGeneration())
                        .setHost(record.getBackup())
                        .setOldestEpoch(record.getCommittedEpoch())
                        .setNewestEpoch(Math.max(newest, record.getCommittedEpoch()))
                        .build());
        if (reply.hasRefusal()) {
            throw new AssertionError(reply.getRefusal().getMessage());
        }
        return reply.getRecord();
    }

    private String otherHost() {
        return record.getPrimary().equals("hostA") ? "hostB" : "hostA";
    }

    private static ArbiterRecord accepted(ArbiterReply reply) {
        Refusal refusal = reply.getRefusal();
        if (reply.hasRefusal()) {
            throw new AssertionError(refusal.getMessage());
        }
        return reply.getRecord();
    }

    @Override
    public void close() throws IOException {
        committer.shutdownNow();
        disconnect();
    }

    private void disconnect() throws IOException {
        for (Connection connection : List.copyOf(connections.values())) {
            connection.nbd.close();
        }
        connections.clear();
    }
}
