/**
 * Who may run a VM, as a pure state machine: a record and a call go in, the next record or a refusal comes out. Whoever calls it
 * makes the result durable and puts it into effect; it knows no files, clocks or threads.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.arbiter;
