package io.vmft.demo;

import java.io.PrintStream;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.random.RandomGenerator;

/**
 * The scenario: boot, protect, kill, see the client go on; again if wanted; then compare what the client was told with the ledger as the
 * guest reads it and as it stands in the disk's image.
 */
final class Demo {
    static final String VM = "demo";

    private static final Duration READY = Duration.ofMinutes(1);
    private static final Duration BOOT = Duration.ofMinutes(2);
    private static final Duration PROTECT = Duration.ofMinutes(1);
    private static final Duration TAKE_OVER = Duration.ofSeconds(30);
    private static final Duration END = Duration.ofMinutes(1);
    private static final Duration LEAST_WORK = Duration.ofMillis(1500);
    private static final Duration MOST_WORK = Duration.ofSeconds(4);

    /** A gap between answers that begins later than this after a kill is not its doing. */
    private static final Duration AFTERMATH = Duration.ofSeconds(2);

    private static final long POLL_MILLIS = 40;

    private final DemoOptions options;
    private final Workplace place;
    private final Lab lab;
    private final Path image;
    private final PrintStream out;
    private final boolean live;
    private final RandomGenerator random;
    private final List<Long> killNanos = new ArrayList<>();
    private final List<Double> takeOverMillis = new ArrayList<>();
    private final List<String> problems = new ArrayList<>();

    Demo(DemoOptions options, Workplace place, PrintStream out, boolean live) {
        this.options = options;
        this.place = place;
        this.lab = new Lab(place.id());
        this.image = place.folder().resolve(VM + ".img");
        this.out = out;
        this.live = live;
        this.random = new Random(options.seed());
    }

    /** Runs it all. With {@link DemoOptions#keep} everything goes on when this returns. */
    DemoReport run() throws DemoException, InterruptedException {
        prepare();
        Daemon storage = new Storage(lab, place, image).start();
        Host primary = new Host("a", lab, place);
        Host standby = new Host("b", lab, place);
        List<Host> hosts = List.of(primary, standby);
        Path vmFile = VmFile.write(place.folder(), options);
        storage.awaitReady(READY);

        LedgerClient client = LedgerClient.start(lab.namespace("c"), Lab.GUEST_ADDRESS, BOOT);
        String ledger;
        try (Watch watch = new Watch(out, live, hosts, client.history())) {
            primary.start("run", vmFile);
            standby.start("standby", vmFile);
            primary.awaitReady();
            watch.tell("host a runs the VM; its Linux boots");
            awaitBoot(client);
            watch.tell("the client is connected and sends");
            standby.awaitReady();
            awaitProtected(primary, client, watch);
            for (int kill = 1; kill <= options.kills(); kill++) {
                work(client, watch);
                killAndWatch(primary, standby, client, watch);
                Host freed = primary;
                primary = standby;
                standby = freed;
                if (kill < options.kills() || options.keep()) {
                    standby.start("standby", vmFile);
                    standby.awaitReady();
                    awaitProtected(primary, client, watch);
                }
            }
            work(client, watch);
            ledger = client.dump();
            watch.tell("the ledger was read back over the same connection");
            Audit audit = audit("the ledger", ledger, client);
            if (!options.keep()) {
                watch.look();
                client.shutdown();
                primary.engine().awaitEnd(END);
                watch.tell("the guest shut down");
                awaitApplied(ledger);
                storage.stop(END);
                checkImage(ledger, client);
            }
            return report(audit, client.history(), watch.primaries());
        }
    }

    private void prepare() throws DemoException, InterruptedException {
        place.add(lab::build);
        Command.run("cp", "--sparse=always", options.guest().resolve("disk.img").toString(), image.toString());
    }

    private void awaitBoot(LedgerClient client) throws DemoException, InterruptedException {
        try {
            client.awaitConnected();
        } catch (DemoException e) {
            throw options.accelerator().equals("kvm")
                    ? new DemoException(e.getMessage() + "; does KVM boot Linux here? try --accel tcg", e)
                    : e;
        }
    }

    private static void awaitProtected(Host primary, LedgerClient client, Watch watch)
            throws DemoException, InterruptedException {
        Sight sight = await("the VM to be protected", PROTECT, primary, client, watch, Sight::isProtected);
        watch.tell("protected: host " + other(primary.name()) + " holds epoch " + sight.epoch());
    }

    /** Lets the client work for a random while. */
    private void work(LedgerClient client, Watch watch) throws DemoException, InterruptedException {
        long deadline = System.nanoTime() + random.nextLong(LEAST_WORK.toNanos(), MOST_WORK.toNanos());
        while (System.nanoTime() < deadline) {
            client.check();
            watch.check();
            Thread.sleep(POLL_MILLIS);
        }
    }

    private void killAndWatch(Host primary, Host standby, LedgerClient client, Watch watch)
            throws DemoException, InterruptedException {
        History history = client.history();
        if (watch.look().stream().noneMatch(Sight::isProtected)) {
            throw new DemoException("the VM lost its protection before the kill; the engines' logs say why");
        }
        primary.die(random);
        long killed = System.nanoTime();
        killNanos.add(killed);
        watch.tell("host " + primary.name() + " is dead: SIGKILL after " + history.size() + " answers");
        Sight sight =
                await("host " + standby.name() + " to take over", TAKE_OVER, standby, client, watch, Sight::isPrimary);
        takeOverMillis.add(sight.takeOverMillis());
        long deadline = System.nanoTime() + TAKE_OVER.toNanos();
        while (history.lastAnswerNanos(killed) - killed <= 0) {
            client.check();
            if (System.nanoTime() > deadline) {
                throw new DemoException("host " + standby.name() + " took over, but the client hears nothing");
            }
            Thread.sleep(POLL_MILLIS);
        }
        watch.tell(String.format(
                "host %s goes on; the client waited %d ms, its connection holds",
                standby.name(), history.blackout(killed, AFTERMATH).toMillis()));
    }

    private interface Condition {
        boolean holds(Sight sight);
    }

    private static Sight await(
            String what, Duration limit, Host host, LedgerClient client, Watch watch, Condition condition)
            throws DemoException, InterruptedException {
        long deadline = System.nanoTime() + limit.toNanos();
        while (true) {
            Optional<Sight> sight = host.look();
            if (sight.isPresent() && condition.holds(sight.get())) {
                return sight.get();
            }
            client.check();
            watch.check();
            host.engine().checkAlive();
            if (System.nanoTime() > deadline) {
                throw new DemoException("waited " + limit.toSeconds() + " s in vain for " + what);
            }
            Thread.sleep(POLL_MILLIS);
        }
    }

    /** Waits until the block server has folded its journal into the image; {@link #checkImage} judges what came of it. */
    private void awaitApplied(String ledger) throws DemoException, InterruptedException {
        long deadline = System.nanoTime() + END.toNanos();
        while (!ledgerOnDisk().equals(ledger) && System.nanoTime() < deadline) {
            Thread.sleep(POLL_MILLIS);
        }
    }

    private Audit audit(String what, String ledger, LedgerClient client) {
        Audit audit = Audit.of(ledger, client.history().entries(), client.unanswered());
        if (!audit.isClean()) {
            problems.add(what + ": " + audit.lost() + " records lost, " + audit.duplicated() + " duplicated, "
                    + audit.misplaced() + " misplaced");
        }
        return audit;
    }

    /** The disk as the block server left it, without the block server. */
    private void checkImage(String ledger, LedgerClient client) throws DemoException, InterruptedException {
        Command.Result check = Command.attempt("e2fsck", "-fn", image.toString());
        if (check.status() != 0) {
            problems.add("e2fsck finds errors in the disk's image: " + check.lastLine());
        }
        String onDisk = ledgerOnDisk();
        audit("the ledger in the disk's image", onDisk, client);
        if (!ledger.equals(onDisk)) {
            problems.add("the ledger in the disk's image is not the one the guest read");
        }
    }

    private String ledgerOnDisk() throws DemoException, InterruptedException {
        return Command.data("debugfs", "-R", "cat /data/ledger", image.toString())
                .output();
    }

    private DemoReport report(Audit audit, History history, List<Sight> primaries) {
        List<Double> blackouts = new ArrayList<>();
        for (long killed : killNanos) {
            blackouts.add(history.blackout(killed, AFTERMATH).toNanos() / 1e6);
        }
        double worst = blackouts.stream().mapToDouble(Double::doubleValue).max().orElse(0);
        Sight some = primaries.getFirst();
        return new DemoReport(
                problems.isEmpty(),
                options.seed(),
                killNanos.size(),
                audit.acknowledged(),
                audit.lost(),
                audit.duplicated(),
                audit.misplaced(),
                worst,
                blackouts,
                takeOverMillis,
                primaries.stream().mapToDouble(Sight::pauseMsP50).max().orElse(0),
                primaries.stream().mapToDouble(Sight::pauseMsP99).max().orElse(0),
                primaries.stream().mapToLong(Sight::epochs).sum(),
                some.accelerator(),
                some.qemuVersion(),
                problems);
    }

    private static String other(String host) {
        return host.equals("a") ? "b" : "a";
    }
}
