/** What the NBD codec costs a request: time and allocation, by JMH. */
@org.jspecify.annotations.NullMarked
package io.vmft.bench.codec;
