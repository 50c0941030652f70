/**
 * What engines ask of the block server over gRPC, and the coordinator that carries it out: it runs the arbiter's rules, makes
 * their results durable, and fences, seals, commits and drains volumes accordingly. Recovery puts the same things in place at
 * start. It knows nothing of NBD.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.control;
