package io.vmft.engine.thread;

import io.vmft.engine.config.CpuList;
import io.vmft.engine.config.Protection;
import java.util.Locale;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The threads that the guest or its disks wait for at the end of an epoch: the engine's loop, the tracker's, the one to the block server, and QEMU's main thread. They are
 * put on {@code protection.cpu_affinity} and get {@code protection.nice}; vCPUs are left alone.
 *
 * <p>Thread-safe.
 *
 * @param cpus where the engine's threads run
 * @param nice of all of them; 0: as they are
 */
public record PauseThreads(CpuList cpus, int nice) {
    private static final Logger log = LoggerFactory.getLogger(PauseThreads.class);

    public static PauseThreads of(Protection protection) {
        return new PauseThreads(protection.cpuAffinity(), protection.nice());
    }

    /**
     * Finds out whether this host can do it, on a thread that ends afterwards.
     *
     * @throws SchedulingException if not: the setting, its value, the way out
     */
    public void check() throws SchedulingException, InterruptedException {
        SchedulingException[] refused = new SchedulingException[1];
        Thread.ofPlatform()
                .name("check-threads")
                .start(() -> {
                    try {
                        apply();
                    } catch (SchedulingException e) {
                        refused[0] = e;
                    }
                })
                .join();
        if (refused[0] != null) {
            throw refused[0];
        }
    }

    /** The calling thread is one of them; it must be a platform thread. A failure, which {@link #check} did not meet, is logged. */
    public void enlist() {
        try {
            apply();
        } catch (SchedulingException e) {
            log.warn("thread {}: {}", Thread.currentThread().getName(), e.getMessage());
        }
    }

    /** QEMU's main thread, by its process; those it has started already, the vCPUs, stay as they are. */
    public void enlistQemu(long pid) {
        if (nice != 0) {
            int error = Scheduling.setNice(Math.toIntExact(pid), nice);
            if (error != 0) {
                log.warn("QEMU {}: nice {} was refused, errno {}", pid, nice, error);
            }
        }
    }

    private void apply() throws SchedulingException {
        if (!cpus.isAny()) {
            int error = Scheduling.setAffinity(cpus.cpus());
            if (error != 0) {
                throw new SchedulingException("protection.cpu_affinity: this host refuses processors " + cpus
                        + " (errno " + error + "); this process may run on "
                        + new CpuList(Scheduling.affinity()));
            }
            // The kernel leaves out what is not there, without a word.
            if (!Scheduling.affinity().equals(cpus.cpus())) {
                throw new SchedulingException("protection.cpu_affinity: of processors " + cpus
                        + " this process may only run on " + new CpuList(Scheduling.affinity())
                        + "; name those, or change its cpuset");
            }
        }
        if (nice != 0) {
            int error = Scheduling.setNice(0, nice);
            if (error != 0) {
                throw new SchedulingException(String.format(
                        Locale.ROOT,
                        "protection.nice: this user may not set nice %d (errno %d); run the engine as root, give it CAP_SYS_NICE, or"
                                + " leave nice out",
                        nice,
                        error));
            }
        }
    }
}
