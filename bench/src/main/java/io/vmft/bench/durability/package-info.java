/** How fast the journal makes an epoch durable, what that costs the disk, and how fast it is read again after a crash. */
@org.jspecify.annotations.NullMarked
package io.vmft.bench.durability;
