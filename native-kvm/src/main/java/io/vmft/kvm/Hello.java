package io.vmft.kvm;

/**
 * What the library says of itself when it connects, before QEMU has made the guest's memory.
 *
 * @param abiVersion of the control protocol and the staging file
 * @param pid QEMU's
 */
public record Hello(int abiVersion, long pid) {}
