package io.vmft.blk.crash;

import io.vmft.blk.crash.Event.Size;
import io.vmft.blk.server.ServerProcess;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;

/**
 * Makes a recording: servers as processes, one after the other on the same disk, under the load of all parties. The first is killed in the
 * middle of it, the second ends in order; then a volume is enlarged, and a third serves on.
 */
final class Recorder {
    private static final int STEPS = 130;
    private static final int SYNC_MICROS = 300;

    private final Recording recording;
    private final DiskTrace trace;
    private final Random random;
    private final History history = new History();
    private final ServerLives lives = new ServerLives();
    private final List<Client> clients = new ArrayList<>();

    private Recorder(Path folder, long seed) {
        this.recording = new Recording(folder);
        this.trace = recording.trace();
        this.random = new Random(seed);
        for (Party party : Party.ALL) {
            clients.add(new Client(party, seed, lives, trace, history));
        }
    }

    /** Makes one in an empty folder. */
    static Recording record(Path folder, long seed) throws Exception {
        return new Recorder(folder, seed).record();
    }

    private Recording record() throws Exception {
        Files.createDirectories(recording.disk());
        recording.writeSettings();
        try {
            RecordedServer server = start(800 + random.nextInt(1500));
            for (Party party : Party.ALL) {
                for (String volume : party.volumes()) {
                    history.add(party, new Size(volume, -1, trace.position(), Party.VOLUME_BYTES));
                }
            }
            serve(server);
            grow();
            serve(start(0));
        } finally {
            lives.end();
            for (Client client : clients) {
                client.close();
            }
        }
        history.write(recording.historyFile());
        checkComplete();
        return recording;
    }

    private RecordedServer start(int killAfter) throws IOException, InterruptedException {
        RecordedServer server = new RecordedServer(ServerProcess.start(
                recording.log(),
                trace.environment(SYNC_MICROS, killAfter),
                "--config",
                recording.settings().toString()));
        lives.begin(server);
        return server;
    }

    /** Until every client has done its part; whenever the server dies another takes its place. */
    private void serve(RecordedServer first) throws Exception {
        RecordedServer server = first;
        try (ExecutorService workers = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<?>> working = new ArrayList<>();
            for (Client client : clients) {
                Callable<?> work = () -> {
                    client.work(STEPS);
                    return true;
                };
                working.add(workers.submit(work));
            }
            while (working.stream().anyMatch(client -> !client.isDone())) {
                if (server.process().endsWithin(20)) {
                    server.close();
                    server = start(0);
                }
            }
            for (Future<?> client : working) {
                client.get();
            }
            int status = server.process().terminate();
            if (status != 0) {
                throw new AssertionError("the server ended with status " + status + ", see " + recording.log());
            }
        } finally {
            server.close();
        }
    }

    private void grow() throws IOException, InterruptedException {
        long begin = trace.position();
        int status = ServerProcess.run(
                recording.log(),
                trace.environment(SYNC_MICROS, 0),
                "grow",
                "--config",
                recording.settings().toString(),
                Party.GROWN,
                Party.GROWN_BYTES / 1024 + "K");
        if (status != 0) {
            throw new AssertionError("grow ended with status " + status + ", see " + recording.log());
        }
        for (int i = 0; i < clients.size(); i++) {
            Party party = Party.ALL.get(i);
            if (party.volumes().contains(Party.GROWN)) {
                history.add(party, new Size(Party.GROWN, begin, trace.position(), Party.GROWN_BYTES));
                clients.get(i).grown(Party.GROWN, Party.GROWN_BYTES);
            }
        }
    }

    /** Whether the trace tells everything: with all of it a disk is what is there now. */
    private void checkComplete() throws IOException {
        Disk disk = new Disk();
        try (var arena = java.lang.foreign.Arena.ofShared()) {
            trace.read(0, arena).forEach(disk::apply);
            Map<String, byte[]> told = disk.content().files();
            Map<String, byte[]> there = filesBelow(recording.disk());
            if (!told.keySet().equals(there.keySet())) {
                throw new AssertionError("the trace knows of " + told.keySet() + ", there are " + there.keySet());
            }
            told.forEach((name, content) -> {
                if (!Arrays.equals(content, there.get(name))) {
                    throw new AssertionError(name + " was changed in a way that is not in the trace");
                }
            });
        }
    }

    private static Map<String, byte[]> filesBelow(Path folder) throws IOException {
        Map<String, byte[]> found = new TreeMap<>();
        try (Stream<Path> walk = Files.walk(folder)) {
            for (Path path : (Iterable<Path>) walk::iterator) {
                if (Files.isRegularFile(path)) {
                    found.put(folder.relativize(path).toString(), Files.readAllBytes(path));
                }
            }
        }
        return found;
    }
}
