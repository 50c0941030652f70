/**
 * The role of waiting for a VM: welcomes a primary, receives its checkpoints into the memory of a QEMU that waits, and takes the VM over.
 * Everything here runs on the engine's loop. Called by the engine. What is staged and folded, and to which epochs it can go
 * ({@link io.vmft.engine.standby.StandbyEpochs}), knows neither sockets nor QEMU.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.standby;
