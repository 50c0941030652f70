/** Copies of whole disks between exports and files, sparse on both sides. Uses the client library; knows nothing of the command line. */
@org.jspecify.annotations.NullMarked
package io.vmft.nbd.client.copy;
