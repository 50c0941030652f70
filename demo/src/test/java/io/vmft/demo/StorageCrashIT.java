package io.vmft.demo;

import static io.vmft.demo.BusyVm.PATIENCE;
import static io.vmft.demo.BusyVm.look;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The block server is killed under a protected guest and started again; then the primary dies too. */
@Timeout(300)
class StorageCrashIT {
    private static final int CRASHES = 3;

    @Test
    void aKilledBlockServerComesBackAndNothingAcknowledgedIsLost() throws Exception {
        BusyVm.assumeItCanRun();
        try (BusyVm vm = new BusyVm("vmft.load=8", Path.of("target/storage-crash-it"))) {
            Daemon blkServer = vm.blkServer;
            for (int i = 0; i < CRASHES; i++) {
                vm.awaitAnswers(20);
                blkServer.crash();
                blkServer = vm.storage.start();
                blkServer.awaitReady(PATIENCE);
                vm.awaitAnswers(20);
            }
            await().atMost(PATIENCE).until(() -> look(vm.primary).isProtected());

            vm.primary.die(new java.util.Random(1));
            vm.awaitAnswers(20);
            assertThat(look(vm.standby).isPrimary()).isTrue();
            Audit audit = Audit.of(vm.client.dump(), vm.client.history().entries(), vm.client.unanswered());
            assertThat(audit.acknowledged()).isGreaterThan(20 * 2 * CRASHES);
            assertThat(audit.isClean()).as("%s", audit).isTrue();
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
