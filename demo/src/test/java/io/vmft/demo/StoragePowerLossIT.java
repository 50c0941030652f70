package io.vmft.demo;

import static io.vmft.demo.BusyVm.PATIENCE;
import static io.vmft.demo.BusyVm.look;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The storage host goes down under a guest and comes back with another boot id: nothing unsynced counts any more. */
@Timeout(300)
class StoragePowerLossIT {
    @Test
    void aProtectedGuestGoesOnFromTheCommittedEpoch() throws Exception {
        BusyVm.assumeItCanRun();
        try (BusyVm vm = new BusyVm("vmft.load=8", Path.of("target/storage-power-loss-protected-it"))) {
            vm.awaitAnswers(50);
            vm.blkServer.crash();
            Daemon blkServer = vm.storage.startAfterPowerLoss();
            blkServer.awaitReady(PATIENCE);

            await().atMost(PATIENCE).until(() -> look(vm.standby).isPrimary());
            vm.awaitAnswers(50);
            assertThat(vm.primary.look()).as("the primary's engine has ended").isEmpty();
            checkLedger(vm, vm.standby, blkServer);
        }
    }

    @Test
    void anUnprotectedGuestIsBootedAgainFromItsDisk() throws Exception {
        BusyVm.assumeItCanRun();
        try (BusyVm vm = new BusyVm("vmft.load=8", Path.of("target/storage-power-loss-alone-it"))) {
            vm.standby.die(new java.util.Random(1));
            await().atMost(PATIENCE).until(() -> look(vm.primary).mode().equals("solo"));
            vm.awaitAnswers(50);
            final long pid = look(vm.primary).qemuPid();
            vm.blkServer.crash();
            Daemon blkServer = vm.storage.startAfterPowerLoss();
            blkServer.awaitReady(PATIENCE);

            await().atMost(PATIENCE)
                    .until(() -> vm.primary
                            .look()
                            .filter(sight -> sight.qemuPid() != pid && sight.qemuPid() != 0)
                            .isPresent());
            // Its TCP connections ended with its memory; whoever comes now sends texts of its own.
            List<History.Entry> acknowledged = vm.client.history().entries();
            LedgerClient after = LedgerClient.start(vm.lab.namespace("c"), Lab.GUEST_ADDRESS, PATIENCE);
            after.awaitConnected();
            await().atMost(PATIENCE).until(() -> {
                after.check();
                return after.history().size() >= 20;
            });
            List<String> ledger = after.dump().lines().toList();
            assertThat(acknowledged).hasSizeGreaterThan(50);
            assertThat(ledger).hasSizeGreaterThan(acknowledged.size());
            assertThat(acknowledged)
                    .allSatisfy(entry -> assertThat(ledger.get((int) entry.number() - 1))
                            .isEqualTo(entry.number() + " " + entry.text()));
            after.shutdown();
            vm.primary.engine().awaitEnd(PATIENCE);
            blkServer.stop(PATIENCE);
            assertThat(Command.attempt("e2fsck", "-fn", vm.image.toString()).status())
                    .isZero();
        }
    }

    private static void checkLedger(BusyVm vm, Host runs, Daemon blkServer) throws Exception {
        Audit audit = Audit.of(vm.client.dump(), vm.client.history().entries(), vm.client.unanswered());
        assertThat(audit.acknowledged()).isGreaterThan(100);
        assertThat(audit.isClean()).as("%s", audit).isTrue();
        vm.client.shutdown();
        runs.engine().awaitEnd(PATIENCE);
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
