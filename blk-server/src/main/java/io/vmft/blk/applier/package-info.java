/**
 * Folds what is committed into the images, in the background, and lets the journal go afterwards. The server starts it; it knows
 * volumes and nothing of VMs.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.applier;
