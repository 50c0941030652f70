/** TLS for the client: certificates and keys as PEM files, and what Netty makes of them. Called when a connection is opened. */
@org.jspecify.annotations.NullMarked
package io.vmft.nbd.client.tls;
