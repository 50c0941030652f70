package io.vmft.demo;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

/**
 * All that one run of the demo puts on this machine, found by the run's id alone: network namespaces and the processes in them, a folder,
 * memory files. So a run can be ended by another process, and what a killed demo left is found by the next one.
 */
final class Workplace {
    private static final String PREFIX = "vmft-demo-";
    private static final Path MEMORY = Path.of("/dev/shm");
    private static final Path NAMESPACES = Path.of("/run/netns");
    private static final long KILL_SECONDS = 10;
    private static final int MAX_KILL_ROUNDS = 10;

    private final String id;
    private final Path folder;
    private boolean removed;

    private Workplace(String id, Path folder) {
        this.id = id;
        this.folder = folder;
    }

    /** Makes the place of a new run. */
    static Workplace create() throws DemoException {
        while (true) {
            String id = String.format("%04x", ThreadLocalRandom.current().nextInt(0x10000));
            Path folder = parent().resolve(PREFIX + id);
            try {
                Files.createDirectory(
                        folder, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
                ProcessHandle self = ProcessHandle.current();
                Files.writeString(folder.resolve("owner"), identity(self));
                Files.createDirectory(folder.resolve("logs"));
                return new Workplace(id, folder);
            } catch (FileAlreadyExistsException e) {
                // Another run has that id.
            } catch (IOException e) {
                throw new DemoException(folder + " cannot be made: " + e.getMessage(), e);
            }
        }
    }

    /** The place of an earlier run of this user. */
    static Optional<Workplace> find(String id) {
        Path folder = parent().resolve(PREFIX + id);
        return id.matches("[0-9a-f]{4}") && isOurs(folder) ? Optional.of(new Workplace(id, folder)) : Optional.empty();
    }

    /** Removes what demos left that were killed before they could; runs that go on or were kept stay. */
    static void sweep() throws DemoException, InterruptedException {
        List<Workplace> dead = new ArrayList<>();
        try (DirectoryStream<Path> folders = Files.newDirectoryStream(parent(), PREFIX + "[0-9a-f]*")) {
            for (Path folder : folders) {
                String id = folder.getFileName().toString().substring(PREFIX.length());
                Optional<Workplace> found = find(id);
                if (found.isPresent() && found.get().isAbandoned()) {
                    dead.add(found.get());
                }
            }
        } catch (IOException e) {
            throw new DemoException(parent() + " cannot be read: " + e.getMessage(), e);
        }
        for (Workplace place : dead) {
            place.remove();
        }
    }

    String id() {
        return id;
    }

    Path folder() {
        return folder;
    }

    /** From now on only {@link #remove} ends this run: it survives this process. */
    void keep() throws DemoException {
        try {
            Files.createFile(folder.resolve("kept"));
        } catch (IOException e) {
            throw new DemoException(folder + " cannot be written: " + e.getMessage(), e);
        }
    }

    /** Something that adds to what {@link #remove} must find. */
    interface Step<T> {
        T run() throws DemoException, InterruptedException;
    }

    /** Runs a step that no removal can overtake; fails if the place is removed already. */
    synchronized <T> T add(Step<T> step) throws DemoException, InterruptedException {
        if (removed) {
            throw new DemoException("the demo was interrupted");
        }
        return step.run();
    }

    /** Saves the logs where they outlive the run. */
    Path saveLogs(Path target) throws DemoException, InterruptedException {
        Command.run("mkdir", "-p", target.toString());
        Command.run("cp", "-r", folder.resolve("logs") + "/.", target.toString());
        return target;
    }

    /**
     * Ends every process of the run and removes all it had. Any thread, any number of times.
     *
     * @return whether there was something to remove
     */
    synchronized boolean remove() throws DemoException, InterruptedException {
        if (removed) {
            return false;
        }
        List<String> namespaces = namespaces();
        // Again until nobody is left: an engine may have started a QEMU between the listing and its own end.
        boolean found = true;
        for (int round = 0; found && round < MAX_KILL_ROUNDS; round++) {
            found = false;
            for (String namespace : namespaces) {
                found |= killAllIn(namespace);
            }
        }
        for (String namespace : namespaces) {
            Command.run("ip", "netns", "delete", namespace);
        }
        String memoryPrefix = "vmft" + folder.toString().replace('/', '-') + "-";
        try (DirectoryStream<Path> files = Files.newDirectoryStream(
                MEMORY, path -> path.getFileName().toString().startsWith(memoryPrefix))) {
            for (Path file : files) {
                deleteTree(file);
            }
            deleteTree(folder);
        } catch (IOException | UncheckedIOException e) {
            throw new DemoException("cannot remove what the demo made: " + e.getMessage(), e);
        }
        removed = true;
        return true;
    }

    private List<String> namespaces() throws DemoException {
        if (!Files.isDirectory(NAMESPACES)) {
            return List.of();
        }
        try (Stream<Path> all = Files.list(NAMESPACES)) {
            return all.map(path -> path.getFileName().toString())
                    .filter(name -> name.startsWith("vmft-" + id + "-"))
                    .toList();
        } catch (IOException e) {
            throw new DemoException(NAMESPACES + " cannot be read: " + e.getMessage(), e);
        }
    }

    /** What runs in a network namespace, without this process. */
    static List<ProcessHandle> processesIn(String namespace) throws DemoException, InterruptedException {
        return Command.run("ip", "netns", "pids", namespace)
                .lines()
                .map(pid -> ProcessHandle.of(Long.parseLong(pid.strip())))
                .flatMap(Optional::stream)
                .filter(process -> process.pid() != ProcessHandle.current().pid())
                .toList();
    }

    /** Returns whether there was anybody. */
    private static boolean killAllIn(String namespace) throws DemoException, InterruptedException {
        List<ProcessHandle> processes = processesIn(namespace);
        processes.forEach(ProcessHandle::destroyForcibly);
        var ends = processes.stream().map(ProcessHandle::onExit);
        try {
            CompletableFuture.allOf(ends.toArray(CompletableFuture[]::new)).get(KILL_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException e) {
            throw new DemoException("processes in " + namespace + " do not die", e);
        }
        return !processes.isEmpty();
    }

    private boolean isAbandoned() {
        if (Files.exists(folder.resolve("kept"))) {
            return false;
        }
        try {
            String owner = Files.readString(folder.resolve("owner"));
            return ProcessHandle.of(Long.parseLong(owner.split(" ", 2)[0]))
                    .filter(process -> identity(process).equals(owner))
                    .isEmpty();
        } catch (IOException | NumberFormatException e) {
            // Being made this moment, or made by something else: not ours to judge.
            return false;
        }
    }

    private static String identity(ProcessHandle process) {
        return process.pid() + " "
                + process.info().startInstant().orElse(Instant.EPOCH).toEpochMilli();
    }

    private static boolean isOurs(Path folder) {
        try {
            return Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS)
                    && Files.getOwner(folder, LinkOption.NOFOLLOW_LINKS).equals(Files.getOwner(Path.of("/proc/self")));
        } catch (IOException e) {
            return false;
        }
    }

    private static Path parent() {
        return Path.of(System.getProperty("java.io.tmpdir")).toAbsolutePath();
    }

    private static void deleteTree(Path root) throws IOException {
        if (!Files.exists(root, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        try (Stream<Path> files = Files.walk(root)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
