/** The engine's line to the block server: the arbiter and the epochs. Knows gRPC; does not know what an answer means for a VM. */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.blk;
