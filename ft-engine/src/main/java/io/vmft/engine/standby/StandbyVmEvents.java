package io.vmft.engine.standby;

import io.vmft.engine.qemu.QemuExit;
import io.vmft.engine.vm.VmEvents;
import io.vmft.kvm.Chunk;
import io.vmft.kvm.Harvest;
import java.util.function.Consumer;

/** A VM that waits for its state makes no checkpoints; all that can happen to it is to die. */
record StandbyVmEvents(Consumer<String> died) implements VmEvents {
    @Override
    public void chunk(Chunk chunk) {
        throw new IllegalStateException("a waiting VM sent pages of epoch " + chunk.epoch());
    }

    @Override
    public void harvested(Harvest harvest) {
        throw new IllegalStateException("a waiting VM was harvested for epoch " + harvest.epoch());
    }

    @Override
    public void resumed(long stoppedNanos, long resumedNanos) {}

    @Override
    public void networkLost(String why) {
        died.accept(why);
    }

    @Override
    public void hungUp() {
        died.accept("it answers nothing any more");
    }

    @Override
    public void exited(QemuExit exit, boolean guestShutDown) {
        died.accept(exit.inWords());
    }
}
