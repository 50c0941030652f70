/**
 * An NBD client: library ({@link io.vmft.nbd.client.NbdClient}) and command line ({@link io.vmft.nbd.client.NbdMain}). Speaks to
 * any fixed newstyle server; knows nothing of how a server stores.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.nbd.client;
