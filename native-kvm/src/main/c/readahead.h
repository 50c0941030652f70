/*
 * QEMU takes what the engine tells it over QMP one byte at a time, each with a round through its monitor thread's event loop: a receive, a poll, and with QEMU 7.2 four
 * wake-ups that GLib's main loop sends to itself and then reads; some 11 us. A checkpoint's command has 77 bytes. So what lies behind the first is received
 * with it and handed out without the kernel: poll says at once that there is more, and a thread that will not sleep is not woken.
 *
 * Only the engine's own socket is read ahead, and only by a thread that waits for it with poll or ppoll, as GLib does: whoever waits otherwise would not hear of what was
 * taken. As in QEMU that thread alone reads the socket; another one may close it. Whatever else the thread waits for has to wait until it has taken the bytes, 128 at the most.
 */
#ifndef VMFT_READAHEAD_H
#define VMFT_READAHEAD_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

/* As poll(2), ppoll(2), recvmsg(2) and write(2); errors are negative errno. */
int readahead_poll(struct pollfd *fds, nfds_t count, int timeout_millis);
int readahead_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask);
ssize_t readahead_recvmsg(int fd, struct msghdr *message, int flags);
/* What a thread with bytes ahead writes to an eventfd it waits for itself is put off until the bytes are taken, or it waits for something else. */
ssize_t readahead_write(int fd, const void *buffer, size_t bytes);

/* Whether this is the socket that is read ahead: the engine's monitor. */
bool readahead_is_monitor(int fd);

/* This descriptor is about to be closed: what was taken of it is gone, as what the kernel holds is. */
void readahead_closing(int fd);

#endif
