/**
 * Power cuts at every point of what a block server does to its disk: {@code docs/decisions/crash-points.md}. A {@link
 * io.vmft.blk.crash.Recorder} runs real servers under a {@link io.vmft.blk.crash.DiskTrace}, a {@link io.vmft.blk.crash.Disk} is rebuilt
 * from the trace as a cut may leave it, a server recovers from it, and a {@link io.vmft.blk.crash.Judge} says whether it may hold what it
 * holds.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.crash;
