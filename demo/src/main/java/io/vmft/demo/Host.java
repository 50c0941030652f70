package io.vmft.demo;

import io.vmft.engine.EngineException;
import io.vmft.engine.monitor.MonitorClient;
import io.vmft.engine.vm.VmPaths;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/** One of the two hosts, and the engine on it if there is one. */
final class Host {
    private static final Duration READY = Duration.ofMinutes(1);
    private static final String ENGINE = "io.vmft.engine.EngineMain";

    private final String name;
    private final String namespace;
    private final Workplace place;
    private final Path runDir;
    private final Path logs;
    private int starts;
    private @Nullable Daemon engine;

    /** The host's sockets lie in the run's folder. */
    Host(String name, Lab lab, Workplace place) {
        this.name = name;
        this.namespace = lab.namespace(name);
        this.place = place;
        this.runDir = place.folder().resolve(name);
        this.logs = place.folder().resolve("logs");
    }

    String name() {
        return name;
    }

    Path runDir() {
        return runDir;
    }

    /** Starts an engine as {@code run} or {@code standby}; {@link #awaitReady} waits for it. */
    void start(String command, Path vmFile) throws DemoException, InterruptedException {
        starts++;
        engine = place.add(() -> Daemon.start(
                "ft-engine " + command + " on host " + name,
                namespace,
                logs.resolve("host-" + name + "-" + starts + "-" + command + ".log"),
                ENGINE,
                List.of(command, vmFile.toString(), "--host", name, "--run-dir", runDir.toString())));
    }

    Daemon engine() {
        Daemon running = engine;
        if (running == null) {
            throw new IllegalStateException("host " + name + " has no engine");
        }
        return running;
    }

    void awaitReady() throws DemoException, InterruptedException {
        engine().awaitReady(READY);
    }

    /** What its engine says; empty if there is none, or none that answers. */
    Optional<Sight> look() throws DemoException {
        if (engine == null) {
            return Optional.empty();
        }
        String status;
        try {
            status = MonitorClient.ask(VmPaths.monitorSocket(runDir, Demo.VM), Demo.VM, "status");
        } catch (EngineException e) {
            return Optional.empty();
        }
        return Optional.of(Sight.parse(status));
    }

    /** The host dies: everything that runs on it gets SIGKILL, in any order, with nothing in between. */
    void die(RandomGenerator random) throws DemoException, InterruptedException {
        List<ProcessHandle> victims = new ArrayList<>(Workplace.processesIn(namespace));
        Collections.shuffle(victims, random);
        victims.forEach(ProcessHandle::destroyForcibly);
        engine = null;
    }
}
