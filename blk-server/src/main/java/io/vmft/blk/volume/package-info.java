/**
 * Volumes: an image, the journal's overlay over it, who may use it, and the views NBD connections have of it. The NBD server
 * comes in through {@link io.vmft.blk.export}; the coordinator changes who is admitted and in which mode a volume writes. It
 * knows generations and sequence numbers, not why they change.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.volume;
