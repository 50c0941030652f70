/** Where and how readily the threads run that the guest or its disks wait for at the end of an epoch. Knows the kernel's calls for it; does not know what the threads do. */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.thread;
