/**
 * What protection costs a running guest: pauses beside QEMU's own floor, and what is left of its speed. Real QEMU, real engines, a real
 * block server, each a process of its own as in production, on one host in a network namespace of their own.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.bench.checkpoint;
