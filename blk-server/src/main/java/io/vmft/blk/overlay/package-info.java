/**
 * What the journal holds of one volume and the image does not yet: which record has the newest bytes of which range, layered by
 * epoch. Volumes and the applier call it. Purely in memory; it knows records by their position, not what is in them.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.overlay;
