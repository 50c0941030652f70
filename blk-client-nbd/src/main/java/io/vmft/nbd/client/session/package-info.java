/**
 * A client that outlives its connections. {@link io.vmft.nbd.client.session.ReplayMachine} decides, without threads, clocks or
 * sockets: which endpoint is tried when, what is sent again, what waits for what. {@link io.vmft.nbd.client.session.FollowingClient}
 * drives it. Knows the client library below it and nothing of the command line.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.nbd.client.session;
