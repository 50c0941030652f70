/** Where and how readily the threads run that a paused guest waits for. Knows the kernel's calls for it; does not know what the threads do. */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.thread;
