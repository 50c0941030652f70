/** Threads that requests run on. */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.thread;
