/*
 * The line that a seal draws between what QEMU sent to its disks in one epoch and in the next. A pause does not wait for it: the guest goes on,
 * and what QEMU sends waits instead.
 */
#ifndef VMFT_LINE_H
#define VMFT_LINE_H

#include <stdbool.h>
#include <sys/socket.h>

/* As sendmsg, when the line is drawn; at once where the engine is the other end, which is then told what is new. Negative errno. */
ssize_t line_sendmsg(int fd, const struct msghdr *message, int flags);

/* Whether anything was sent to others than the engine: if not, QEMU reaches its disks in a way that is not seen here, or has none. */
bool line_has_sent(void);

#endif
