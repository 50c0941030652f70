/**
 * The gate between a guest's network cards and the host's tap interfaces: what the guest sends is held until its epoch is
 * committed. Told by the engine when epochs end and when they are safe; knows nothing of checkpoints or the block server.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.net;
