package io.vmft.demo;

import java.io.PrintStream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Looks at both hosts, several times a second, on a thread of its own: shows what happens and remembers the figures of each primary,
 * which die with it.
 */
final class Watch implements AutoCloseable {
    private static final long LOOK_MILLIS = 200;

    /** On paper a line a second is enough. */
    private static final int LOOKS_PER_LINE = 5;

    private final PrintStream out;
    private final boolean live;
    private final List<Host> hosts;
    private final History history;
    private final long startNanos = System.nanoTime();
    private final Map<Long, Sight> lastOfPrimary = new HashMap<>();
    private final Thread thread = new Thread(this::run, "watch");
    private @Nullable DemoException failure;
    private boolean lineShown;
    private boolean closed;

    /**
     * @param live the output is a terminal: one line is written over and over
     */
    Watch(PrintStream out, boolean live, List<Host> hosts, History history) {
        this.out = out;
        this.live = live;
        this.hosts = hosts;
        this.history = history;
        thread.setDaemon(true);
        thread.start();
    }

    /** Tells of something that happened, on a line of its own. */
    synchronized void tell(String what) {
        clearLine();
        out.println(time() + what);
    }

    /** The last figures of every engine that was primary. */
    synchronized List<Sight> primaries() {
        return List.copyOf(lastOfPrimary.values());
    }

    /** Fails if an engine said something that cannot be understood. */
    synchronized void check() throws DemoException {
        if (failure != null) {
            throw failure;
        }
    }

    private void run() {
        try {
            for (int looks = 0; ; looks++) {
                List<Sight> sights = look();
                if (!sights.isEmpty() && (live || looks % LOOKS_PER_LINE == 0)) {
                    show(sights);
                }
                Thread.sleep(LOOK_MILLIS);
            }
        } catch (InterruptedException e) {
            // Closed.
        } catch (DemoException e) {
            synchronized (this) {
                failure = e;
            }
        }
    }

    /** Looks once, now. */
    List<Sight> look() throws DemoException {
        List<Sight> sights = new ArrayList<>();
        for (Host host : hosts) {
            Optional<Sight> sight = host.look();
            sight.ifPresent(sights::add);
        }
        synchronized (this) {
            for (Sight sight : sights) {
                if (sight.isPrimary()) {
                    lastOfPrimary.put(sight.enginePid(), sight);
                }
            }
        }
        return sights;
    }

    private synchronized void show(List<Sight> sights) {
        if (closed) {
            return;
        }
        StringBuilder line = new StringBuilder(time());
        for (Sight sight : sights) {
            if (sight.isPrimary()) {
                line.append(String.format(
                        Locale.ROOT,
                        "primary %s  %-9s  epoch %-5d  pause %.1f ms  dirty %-4d  held %-3d  ",
                        sight.host(),
                        sight.mode(),
                        sight.epoch(),
                        sight.pauseMsP50(),
                        sight.dirtyPages(),
                        sight.heldFrames()));
            }
        }
        line.append("answers ").append(history.size());
        if (live) {
            clearLine();
            out.print(line);
            out.flush();
            lineShown = true;
        } else {
            out.println(line);
        }
    }

    private void clearLine() {
        if (lineShown) {
            out.print("\r\033[K");
            lineShown = false;
        }
    }

    private String time() {
        return String.format(Locale.ROOT, "%5.1f s  ", (System.nanoTime() - startNanos) / 1e9);
    }

    @Override
    public synchronized void close() {
        closed = true;
        thread.interrupt();
        clearLine();
        out.flush();
    }
}
