/**
 * An NBD client library. {@link io.vmft.nbd.client.NbdClient} speaks to any fixed newstyle server over one or more connections;
 * {@link io.vmft.nbd.client.session.FollowingClient} outlives them. Knows nothing of how a server stores.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.nbd.client;
