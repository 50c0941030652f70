/**
 * One guarded VM on this host: its QEMU, the tracker inside it, its RAM file, its gates and its files. Called by the primary and
 * the standby roles; knows neither the other host nor the block server's answers.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.vm;
