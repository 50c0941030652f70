package io.vmft.demo;

import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.vmft.engine.EngineException;
import io.vmft.engine.monitor.MonitorClient;
import io.vmft.engine.vm.VmPaths;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Collectors;

/** The lab with a protected Linux guest in it, and a client at work. */
final class BusyVm implements AutoCloseable {
    static final Duration PATIENCE = Duration.ofMinutes(2);
    /** Of a process: what each of its threads does in the kernel. */
    private static final String THREADS =
            "for t in /proc/$1/task/*; do echo $(cat $t/comm $t/wchan $t/syscall); done 2>&1";

    private static final Path GUEST = Path.of("target/guest").toAbsolutePath();

    final Workplace place;
    final Lab lab;
    final Path image;
    final Storage storage;
    final Daemon blkServer;
    final Host primary;
    final Host standby;
    final LedgerClient client;
    private final Path target;

    /**
     * Boots it and waits until it is protected.
     *
     * @param kernelWords added to the guest's kernel command line
     * @param protection lines added to the file's {@code protection} section
     * @param target where the logs are kept
     */
    BusyVm(String kernelWords, List<String> protection, Path target) throws Exception {
        this(kernelWords, protection, target, Path.of(""), List.of(), false);
    }

    /** As if nothing were said of protection. */
    BusyVm(String kernelWords, Path target) throws Exception {
        this(kernelWords, List.of(), target);
    }

    /** As the other, with a volume for {@link FioLoad} too or without. */
    BusyVm(String kernelWords, Path target, boolean withFio) throws Exception {
        this(kernelWords, List.of(), target, Path.of(""), List.of(), withFio);
    }

    /**
     * As the other.
     *
     * @param imageFolder where the VM's image is put, if it is absolute
     * @param serverOptions more options of the block server
     */
    BusyVm(String kernelWords, Path target, Path imageFolder, List<String> serverOptions) throws Exception {
        this(kernelWords, List.of(), target, imageFolder, serverOptions, false);
    }

    private BusyVm(
            String kernelWords,
            List<String> protection,
            Path target,
            Path imageFolder,
            List<String> serverOptions,
            boolean withFio)
            throws Exception {
        this.target = target.toAbsolutePath();
        place = Workplace.create();
        try {
            Path folder = place.folder();
            lab = new Lab(place.id());
            place.add(lab::build);
            image = folder.resolve(imageFolder).resolve("disk.img");
            Command.run("cp", "--sparse=always", GUEST.resolve("disk.img").toString(), image.toString());
            storage = new Storage(lab, place, image, serverOptions);
            if (withFio) {
                storage.serve(FioLoad.volume(folder));
            }
            blkServer = storage.start();
            primary = new Host("a", lab, place);
            standby = new Host("b", lab, place);
            Path vmFile = VmFile.write(
                    folder,
                    new DemoOptions(0, 1, "qemu-system-x86_64", "tcg", "transitional", false, GUEST, this.target));
            Files.writeString(
                    vmFile,
                    Files.readString(vmFile).replace(" vmft.ip=", " " + kernelWords + " vmft.ip=")
                            // No engine is given up for one that had no processor for a second, as on a busy machine.
                            + "  failure_timeout: 20s\n"
                            + protection.stream()
                                    .map(line -> "  " + line + "\n")
                                    .collect(Collectors.joining()));
            blkServer.awaitReady(PATIENCE);
            primary.start("run", vmFile);
            standby.start("standby", vmFile);
            primary.awaitReady();
            client = LedgerClient.start(lab.namespace("c"), Lab.GUEST_ADDRESS, PATIENCE);
            client.awaitConnected();
            await().atMost(PATIENCE).until(() -> look(primary).isProtected());
        } catch (Exception | AssertionError e) {
            remove();
            throw e;
        }
    }

    /** Skips the test where it cannot run, and builds the guest. */
    static void assumeItCanRun() throws Exception {
        assumeTrue(System.getProperty("user.name").equals("root"), "network namespaces need root");
        assumeTrue(Files.isWritable(Path.of("/dev/net/tun")), "/dev/net/tun cannot be opened");
        assumeTrue(Command.attempt("sh", "-c", "command -v qemu-system-x86_64").status() == 0, "there is no QEMU");
        Command.run("src/main/guest/build-guest.sh", GUEST.toString());
    }

    void awaitAnswers(int more) {
        int target = client.history().size() + more;
        await().atMost(PATIENCE).until(() -> {
            client.check();
            return client.history().size() >= target;
        });
    }

    /** What the guest has printed. */
    String console() throws IOException {
        return Files.readString(place.folder().resolve("logs/guest-console.log"), StandardCharsets.ISO_8859_1);
    }

    static Sight look(Host host) throws DemoException {
        return host.look().orElseThrow();
    }

    static long committed(Host host) throws EngineException {
        String status = ask(host, "status");
        return Long.parseLong(status.replaceAll(".*\"committed_epoch\":(\\d+).*", "$1"));
    }

    static String ask(Host host, String line) throws EngineException {
        return MonitorClient.ask(VmPaths.monitorSocket(host.runDir(), Demo.VM), Demo.VM, line);
    }

    /** Where everybody stands: what a test that waited in vain needs to be understood. */
    private void noteState() throws InterruptedException, DemoException, IOException {
        StringBuilder text = new StringBuilder();
        for (Host host : List.of(primary, standby)) {
            text.append("== ").append(host.name()).append('\n');
            try {
                String status = ask(host, "status");
                text.append(status).append('\n');
                String qemu = status.replaceAll(".*\"qemu_pid\":(\\d+).*", "$1");
                text.append(
                        Command.attempt("sh", "-c", THREADS, "threads", qemu).output());
            } catch (EngineException e) {
                text.append(e.getMessage()).append('\n');
            }
        }
        for (String machine : List.of("a", "b", "s")) {
            text.append("== connections of ").append(machine).append('\n');
            text.append(Command.attempt("ip", "netns", "exec", lab.namespace(machine), "ss", "-tno")
                    .output());
        }
        Files.writeString(place.folder().resolve("logs/state.txt"), text);
    }

    @Override
    public void close() throws DemoException {
        try {
            noteState();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (IOException e) {
            throw new DemoException("cannot note where everybody stands: " + e.getMessage(), e);
        } finally {
            remove();
        }
    }

    private void remove() throws DemoException {
        try {
            place.saveLogs(target.resolve("logs"));
            place.remove();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
