package io.vmft.kvm;

import java.nio.file.Path;
import java.time.Duration;

/** A process that guards a QEMU until it is killed. Arguments: directory, RAM bytes, whether to be killed in a pause. */
final class EngineProcess {
    private EngineProcess() {}

    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[0]);
        long ramBytes = Long.parseLong(arguments[1]);
        boolean inPause = Boolean.parseBoolean(arguments[2]);
        Backup backup = new Backup(ramBytes);
        Tracker tracker = Tracker.open(
                new TrackerConfig(
                        directory.resolve("control"),
                        directory.resolve("staging"),
                        directory.resolve("state"),
                        directory.resolve("ram"),
                        ramBytes,
                        directory.resolve("blocks"),
                        1L << 28,
                        2,
                        256,
                        Duration.ofMinutes(1)),
                backup);
        backup.tracker = tracker;
        TestQemu qemu = TestQemu.start(directory, tracker.environment(), ramBytes, TestMachine.TCG, "");
        System.out.println(qemu.process.pid());
        if (inPause) {
            // No slot comes back, so the pause goes on.
            backup.onChunk = chunk -> {
                if (chunk.slot() == 1) {
                    System.out.println("ready");
                }
            };
            tracker.arm(1);
            qemu.saveState();
        } else {
            System.out.println("ready");
            Thread.sleep(Duration.ofMinutes(5));
        }
    }
}
