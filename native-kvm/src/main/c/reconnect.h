/*
 * How soon QEMU's NBD client finds a server again that was away. It tries from a thread of its own, and after each attempt that failed waits 1, 2, 4, 8
 * and then 16 seconds (nbd/client-connection.c), with sleep(3): its only call of it in a running VM. An attempt on a host that is down behind a router lasts two
 * minutes, with SYNs that come as rarely. A guest that waits for its disk cannot: it would stand still for a quarter of a minute after the server is back.
 */
#ifndef VMFT_RECONNECT_H
#define VMFT_RECONNECT_H

/* In place of sleep(3): the time between two attempts, whatever is asked for but 0. Returns 0. */
unsigned reconnect_sleep(unsigned seconds);

/* A socket of this address family is about to be connected: over TCP that shall fail after three seconds if nobody answers. */
void reconnect_begins(int fd, int family);

#endif
