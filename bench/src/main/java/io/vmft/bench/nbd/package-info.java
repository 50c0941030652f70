/** blk-server beside other NBD servers, under the same load, on the same file system, in the same run. */
@org.jspecify.annotations.NullMarked
package io.vmft.bench.nbd;
