/** {@code vmft nbd copy} beside nbdcopy: the same images, the same server, in the same run. */
@org.jspecify.annotations.NullMarked
package io.vmft.bench.copy;
