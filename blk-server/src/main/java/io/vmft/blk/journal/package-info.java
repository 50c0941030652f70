/**
 * The epoch journal: where writes are kept until their epoch is committed and folded into the image. Payload is in segment
 * files, appended in one order for all volumes; RocksDB says which segments there are and how far each volume is committed
 * and applied. Volumes, the applier and the coordinator call it; it knows volumes and VMs as lane numbers only.
 *
 * <p>The order of records is their <em>sequence number</em>, without gaps over the whole server. Commit points, applied
 * watermarks and dropped ranges are sequence numbers too, so one 64-bit comparison says what a record is worth.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.journal;
