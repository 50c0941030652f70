/** The client library against the real block server: what needs both and belongs to neither. */
@org.jspecify.annotations.NullMarked
package io.vmft.bench.client;
