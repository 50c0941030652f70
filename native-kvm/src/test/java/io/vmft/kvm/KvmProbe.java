package io.vmft.kvm;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.awaitility.core.ConditionTimeoutException;
import org.jspecify.annotations.Nullable;

/** Whether KVM runs the test guest here, found out once by running it without the library. */
final class KvmProbe {
    private static @Nullable Boolean runs;

    private KvmProbe() {}

    static synchronized boolean guestRuns() throws IOException {
        if (runs == null) {
            runs = probe();
        }
        return runs;
    }

    private static boolean probe() throws IOException {
        Path directory = Files.createTempDirectory(Path.of("/dev/shm"), "vmft-probe");
        try (TestQemu qemu = TestQemu.start(directory, Map.of(), 64L << 20, TestMachine.KVM, "report=1000")) {
            Awaitility.await()
                    .atMost(Duration.ofSeconds(90))
                    .until(() -> qemu.reportedWrites() >= 1000 || !qemu.process.isAlive());
            return qemu.reportedWrites() >= 1000;
        } catch (ConditionTimeoutException | IOException e) {
            System.out.println("KVM: " + e);
            return false;
        } finally {
            try (Stream<Path> files = Files.list(directory)) {
                for (Path file : files.toList()) {
                    Files.delete(file);
                }
            }
            Files.delete(directory);
        }
    }
}
