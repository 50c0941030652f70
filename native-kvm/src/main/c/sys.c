#define _GNU_SOURCE
#include "sys.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long result(long r) {
    return r < 0 ? -errno : r;
}

long sys_ioctl(int fd, unsigned long request, void *arg) {
    return result(syscall(SYS_ioctl, fd, request, arg));
}

void *sys_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset) {
    return (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
}

int sys_openat(int dirfd, const char *path, int flags, mode_t mode) {
    return (int)result(syscall(SYS_openat, dirfd, path, flags, mode));
}

int sys_close(int fd) {
    return (int)result(syscall(SYS_close, fd));
}

int sys_madvise(void *addr, size_t length, int advice) {
    return (int)result(syscall(SYS_madvise, addr, length, advice));
}

int sys_munmap(void *addr, size_t length) {
    return (int)result(syscall(SYS_munmap, addr, length));
}

int sys_mlock_on_fault(const void *addr, size_t length) {
    return (int)result(syscall(SYS_mlock2, addr, length, MLOCK_ONFAULT));
}

int sys_connect(int fd, const struct sockaddr *address, socklen_t length) {
    return (int)result(syscall(SYS_connect, fd, address, length));
}

int sys_poll(struct pollfd *fds, nfds_t count, int timeout_millis) {
    return (int)result(syscall(SYS_poll, fds, count, timeout_millis));
}

int sys_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
    /* The kernel writes what is left of it there. */
    struct timespec left = timeout == NULL ? (struct timespec){0} : *timeout;
    return (int)result(syscall(SYS_ppoll, fds, count, timeout == NULL ? NULL : &left, mask, _NSIG / 8));
}

ssize_t sys_write(int fd, const void *buffer, size_t bytes) {
    return result(syscall(SYS_write, fd, buffer, bytes));
}

ssize_t sys_sendmsg(int fd, const struct msghdr *message, int flags) {
    return result(syscall(SYS_sendmsg, fd, message, flags));
}

ssize_t sys_recvmsg(int fd, struct msghdr *message, int flags) {
    return result(syscall(SYS_recvmsg, fd, message, flags));
}

unsigned sys_sleep(unsigned seconds) {
    struct timespec left = {.tv_sec = seconds};
    return clock_nanosleep(CLOCK_REALTIME, 0, &left, &left) == EINTR ? (unsigned)left.tv_sec + (left.tv_nsec > 0) : 0;
}

uint64_t sys_now_nanos(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int sys_start_thread(const char *name, void *(*run)(void *), void *argument) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int error = pthread_create(&thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        return -error;
    }
    pthread_setname_np(thread, name);
    pthread_detach(thread);
    return 0;
}
