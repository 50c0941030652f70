package io.vmft.demo;

import static io.vmft.demo.BusyVm.PATIENCE;
import static io.vmft.demo.BusyVm.look;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;

/**
 * The block server is killed at random under a protected guest and fio, both of which verify what they read, and started again; then the
 * primary dies too. {@code ./vmft soak kill} does it a hundred times.
 */
class StorageCrashIT {
    private static final int KILLS = Integer.getInteger("vmft.kill.times", 4);
    private static final long SEED = Long.getLong("vmft.kill.seed", 1);
    private static final int ANSWERS_BETWEEN = 5;
    private static final int MAX_LIFE_MILLIS = 1500;

    @Test
    void aKilledBlockServerComesBackAndNothingAcknowledgedIsLost() throws Exception {
        BusyVm.assumeItCanRun();
        Random random = new Random(SEED);
        try (BusyVm vm = new BusyVm("vmft.load=8", Path.of("target/storage-crash-it"), true)) {
            Daemon blkServer = vm.blkServer;
            FioLoad fio = new FioLoad(vm.lab, vm.place.folder());
            for (int i = 0; i < KILLS; i++) {
                vm.awaitAnswers(ANSWERS_BETWEEN);
                // Not a wait for something: any moment is to be hit.
                Thread.sleep(random.nextInt(MAX_LIFE_MILLIS));
                blkServer.crash();
                blkServer = vm.storage.start();
                blkServer.awaitReady(PATIENCE);
                fio.check();
                System.out.printf("kill %d of %d%n", i + 1, KILLS);
            }
            vm.awaitAnswers(ANSWERS_BETWEEN);
            int passes = fio.stop();
            System.out.printf("fio wrote and verified all of its volume %d times%n", passes);
            assertThat(passes).isPositive();
            await().atMost(PATIENCE).until(() -> look(vm.primary).isProtected());

            vm.primary.die(random);
            vm.awaitAnswers(20);
            assertThat(look(vm.standby).isPrimary()).isTrue();
            Audit audit = Audit.of(vm.client.dump(), vm.client.history().entries(), vm.client.unanswered());
            System.out.printf("the ledger's client: %s%n", audit);
            assertThat(audit.acknowledged()).isGreaterThan((long) ANSWERS_BETWEEN * KILLS);
            assertThat(audit.isClean()).as("%s", audit).isTrue();
            assertThat(vm.console()).doesNotContain("FAILED");
            vm.client.shutdown();
            vm.standby.engine().awaitEnd(PATIENCE);
            blkServer.stop(PATIENCE);
            assertThat(Command.attempt("e2fsck", "-fn", vm.image.toString()).status())
                    .isZero();
            String onDisk = Command.data("debugfs", "-R", "cat /data/ledger", vm.image.toString())
                    .output();
            assertThat(Audit.of(onDisk, vm.client.history().entries(), vm.client.unanswered())
                            .isClean())
                    .isTrue();
        }
    }
}
