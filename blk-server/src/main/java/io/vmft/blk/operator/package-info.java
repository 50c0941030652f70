/**
 * What operators ask a running server over its control port, and the asking: {@code operator.proto}. Services for the server,
 * and a client for its commands.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.operator;
