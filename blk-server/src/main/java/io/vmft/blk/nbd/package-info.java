/**
 * The NBD server: listeners, handshake, transmission. It turns requests into calls on
 * {@link io.vmft.blk.export.ExportView} and failures into NBD error codes. Called by the block server's main; knows nothing
 * of journals, epochs or the arbiter.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.nbd;
