/**
 * Where the old content of blocks goes that change while somebody looks at how they were. Volumes call it; it knows blocks and
 * files, not why they are kept.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.snapshot;
