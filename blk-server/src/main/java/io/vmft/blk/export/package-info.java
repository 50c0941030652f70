/**
 * The seam between the NBD server, which knows connections and requests, and storage, which knows volumes, epochs and
 * generations. The NBD server calls it; storage implements it; neither knows the other.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.export;
