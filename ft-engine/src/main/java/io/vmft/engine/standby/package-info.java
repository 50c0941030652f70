/**
 * The backup's side: what it has staged, what it has folded into its RAM image, and to which epochs it can go. Called by the
 * engine's standby role; knows neither sockets nor QEMU.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.standby;
