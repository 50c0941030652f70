/*
 * QEMU takes what a monitor is told one byte at a time, each with a round through its thread's event loop: a receive, a poll, and four wake-ups that GLib's
 * main loop sends to itself and reads (seven system calls, some 11 us). A checkpoint's command has 77 bytes. So where a socket is read by single bytes what lies behind the first is
 * received with it and handed out without the kernel: poll(2) says at once that there is more, and a thread that will not sleep is not woken.
 *
 * A socket is read ahead only by a thread that poll has just told of it: whoever waits for it otherwise (ppoll, epoll) would not hear of what was taken. One thread at a
 * time has bytes ahead, of one socket; it alone reads that socket, and waits for the wake-ups that are put off. A descriptor may be closed by another.
 */
#ifndef VMFT_READAHEAD_H
#define VMFT_READAHEAD_H

#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>

/* As poll(2), recvmsg(2) and write(2); errors are negative errno. */
int readahead_poll(struct pollfd *fds, nfds_t count, int timeout_millis);
ssize_t readahead_recvmsg(int fd, struct msghdr *message, int flags);
/* A wake-up (an eventfd's write) by a thread with bytes ahead to its own poll is put off until all bytes are handed out, or it polls for something else. */
ssize_t readahead_write(int fd, const void *buffer, size_t bytes);

/* This descriptor is about to be closed: what was taken of it is gone, as what the kernel holds is. */
void readahead_closing(int fd);

#endif
