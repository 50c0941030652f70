/**
 * What a server proves itself with and whom it believes: certificates in files, read again when they change, and the names in those of
 * clients. Called by the NBD server; knows nothing of NBD.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.tls;
