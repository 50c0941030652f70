/*
 * The system calls under the functions that interpose.c takes over, and those the library may not take from QEMU's
 * symbols. Errors are negative errno. Tests put fakes in their place.
 */
#ifndef VMFT_SYS_H
#define VMFT_SYS_H

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

long sys_ioctl(int fd, unsigned long request, void *arg);
void *sys_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset); /* MAP_FAILED and errno */
int sys_openat(int dirfd, const char *path, int flags, mode_t mode);
int sys_close(int fd);
int sys_madvise(void *addr, size_t length, int advice);
int sys_munmap(void *addr, size_t length);
int sys_mlock_on_fault(const void *addr, size_t length);
int sys_connect(int fd, const struct sockaddr *address, socklen_t length);
int sys_poll(struct pollfd *fds, nfds_t count, int timeout_millis);
int sys_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask);
ssize_t sys_write(int fd, const void *buffer, size_t bytes);
ssize_t sys_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t sys_recvmsg(int fd, struct msghdr *message, int flags);
unsigned sys_sleep(unsigned seconds); /* what is left of them when a signal came */
uint64_t sys_now_nanos(void); /* CLOCK_MONOTONIC */

/* A thread of the library's own, which runs until the process ends; QEMU's signals are not for it. */
int sys_start_thread(const char *name, void *(*run)(void *), void *argument);

#endif
