/**
 * Stock QEMU as a process: what its binary can do, its command line, starting and ending it, and feeding it a saved device
 * state. Called by the engine on both hosts; knows nothing of epochs, the network gate or the standby's protocol.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.qemu;
