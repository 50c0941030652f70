package io.vmft.kvm;

/** The machines the test guest is run on. */
enum TestMachine {
    TCG("tcg", "pc", 1),
    TCG_SMP("tcg", "q35", 8),
    KVM("kvm", "pc", 1),
    /** Has system management mode, whose address space has slots of its own under KVM. */
    KVM_Q35("kvm", "q35", 2);

    final String accelerator;
    final String type;
    final int cpus;

    TestMachine(String accelerator, String type, int cpus) {
        this.accelerator = accelerator;
        this.type = type;
        this.cpus = cpus;
    }

    boolean needsKvm() {
        return accelerator.equals("kvm");
    }
}
