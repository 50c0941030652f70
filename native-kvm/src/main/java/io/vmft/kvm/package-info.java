/**
 * The Java face of {@code libvmft.so}, the library that finds and copies dirty guest memory inside stock QEMU.
 *
 * <p>The engine opens a {@link io.vmft.kvm.Tracker}, starts QEMU with {@link io.vmft.kvm.Tracker#environment()}, and then drives
 * checkpoints with QMP's {@code xen-save-devices-state}; the library does its work while QEMU opens and closes the state
 * file. This package knows nothing of what an epoch means, of networks, disks or failover.
 */
@NullMarked
package io.vmft.kvm;

import org.jspecify.annotations.NullMarked;
