/*
 * The functions of the C library that stand between QEMU and the kernel here, and the library's start. Outside the QEMU that an engine
 * started they do what they always did.
 */
#define _GNU_SOURCE
#include "checkpoint.h"
#include "events.h"
#include "guesttime.h"
#include "kvmlog.h"
#include "line.h"
#include "pagemap.h"
#include "process.h"
#include "ram.h"
#include "readahead.h"
#include "reconnect.h"
#include "sys.h"
#include "vmft.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static long as_libc(long r) {
    if (r < 0) {
        errno = (int)-r;
        return -1;
    }
    return r;
}

static void *map(void *addr, size_t length, int prot, int flags, int fd, off_t offset) {
    if (process_guarded() && ram_is_block(prot, flags)) {
        if (!ram_may_grow("memory")) {
            return MAP_FAILED;
        }
        if (fd < 0) {
            return ram_map_block(addr, length, prot);
        }
    }
    void *view = sys_mmap(addr, length, prot, flags, fd, offset);
    if (process_guarded() && view != MAP_FAILED && fd >= 0 && (prot & PROT_WRITE) != 0) {
        int saved = errno;
        if (ram_is_file(fd)) {
            ram_mapped(view, length, flags, fd, offset);
        }
        errno = saved;
    }
    return view;
}

EXPORT void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset) {
    return map(addr, length, prot, flags, fd, offset);
}

EXPORT void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off64_t offset) {
    return map(addr, length, prot, flags, fd, offset);
}

EXPORT int munmap(void *addr, size_t length) {
    if (process_guarded()) {
        ram_unmapped(addr, length);
    }
    return (int)as_libc(sys_munmap(addr, length));
}

/* Discarded pages read as zeroes, a change no write shows; huge pages cannot be tracked by their parts. */
EXPORT int madvise(void *addr, size_t length, int advice) {
    uint64_t address = (uint64_t)(uintptr_t)addr;
    if (process_guarded() && ram_contains(address, length)) {
        if (advice == MADV_HUGEPAGE) {
            return 0;
        }
        if (advice == MADV_DONTNEED || advice == MADV_REMOVE) {
            return (int)as_libc(ram_discard(address, length, advice));
        }
    }
    return (int)as_libc(sys_madvise(addr, length, advice));
}

static int open_file(int dirfd, const char *path, int flags, mode_t mode) {
    bool state = process_guarded() && path != NULL && checkpoint_saves_state(path, flags);
    bool pause = state && checkpoint_begins();
    int fd = sys_openat(dirfd, state ? checkpoint_state_file() : path, flags, mode);
    if (pause && fd >= 0) {
        checkpoint_opened(fd);
    }
    return (int)as_libc(fd);
}

static mode_t mode_of(int flags, va_list arguments) {
    bool has_mode = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    return has_mode ? va_arg(arguments, mode_t) : 0;
}

/* The forms that _FORTIFY_SOURCE calls when no mode is given. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

static void require_no_mode(int flags) {
    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
        abort();
    }
}

EXPORT int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_file(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_file(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int dirfd, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_file(dirfd, path, flags, mode);
}

EXPORT int openat64(int dirfd, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_file(dirfd, path, flags, mode);
}

EXPORT int __open_2(const char *path, int flags) {
    require_no_mode(flags);
    return open_file(AT_FDCWD, path, flags, 0);
}

EXPORT int __open64_2(const char *path, int flags) {
    require_no_mode(flags);
    return open_file(AT_FDCWD, path, flags, 0);
}

EXPORT int __openat_2(int dirfd, const char *path, int flags) {
    require_no_mode(flags);
    return open_file(dirfd, path, flags, 0);
}

EXPORT int __openat64_2(int dirfd, const char *path, int flags) {
    require_no_mode(flags);
    return open_file(dirfd, path, flags, 0);
}

EXPORT int close(int fd) {
    bool pause_ends = process_guarded() && checkpoint_is_state(fd);
    if (process_guarded() && readahead_is_monitor(fd)) {
        events_closing(fd);
    }
    readahead_closing(fd);
    int r = sys_close(fd);
    if (pause_ends) {
        checkpoint_closed();
    }
    return (int)as_libc(r);
}

EXPORT int ioctl(int fd, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (!process_guarded()) {
        return (int)as_libc(sys_ioctl(fd, request, argument));
    }
    long r;
    /* QEMU passes requests as int, so those that read come with their sign extended. */
    request = (uint32_t)request;
    switch (request) {
    case KVM_CREATE_VM:
        r = sys_ioctl(fd, request, argument);
        pagemap_expect_holes();
        break;
    case KVM_CREATE_VCPU:
        r = ram_may_grow("a processor") ? sys_ioctl(fd, request, argument) : -ENOTSUP;
        break;
    case KVM_SET_USER_MEMORY_REGION:
    case VMFT_KVM_SET_USER_MEMORY_REGION2:
        r = kvmlog_set_region(fd, request, argument);
        break;
    case KVM_GET_DIRTY_LOG:
        r = kvmlog_get_dirty_log(fd, argument);
        break;
    case KVM_CLEAR_DIRTY_LOG:
        r = kvmlog_clear_dirty_log(fd, argument);
        break;
    case KVM_CHECK_EXTENSION:
        r = kvmlog_check_extension(fd, (unsigned long)argument);
        break;
    case KVM_ENABLE_CAP:
        r = kvmlog_enable_cap(fd, argument);
        break;
    case KVM_GET_CLOCK:
        r = sys_ioctl(fd, request, argument);
        checkpoint_clock_read();
        break;
    case KVM_SET_CLOCK:
        r = checkpoint_keeps_clock() ? 0 : guesttime_set_clock(fd, argument);
        break;
    case KVM_SET_MSRS:
        r = guesttime_set_msrs(fd, argument);
        break;
    default:
        r = sys_ioctl(fd, request, argument);
    }
    return (int)as_libc(r);
}

EXPORT int connect(int fd, const struct sockaddr *address, socklen_t length) {
    if (process_guarded() && length >= sizeof address->sa_family) {
        reconnect_begins(fd, address->sa_family);
    }
    return (int)as_libc(sys_connect(fd, address, length));
}

EXPORT unsigned sleep(unsigned seconds) {
    return process_guarded() ? reconnect_sleep(seconds) : sys_sleep(seconds);
}

EXPORT int poll(struct pollfd *fds, nfds_t count, int timeout_millis) {
    if (!process_guarded()) {
        return (int)as_libc(sys_poll(fds, count, timeout_millis));
    }
    events_thread_waits();
    return (int)as_libc(readahead_poll(fds, count, timeout_millis));
}

EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
    if (!process_guarded()) {
        return (int)as_libc(sys_ppoll(fds, count, timeout, mask));
    }
    events_thread_waits();
    return (int)as_libc(readahead_ppoll(fds, count, timeout, mask));
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    return as_libc(process_guarded() ? readahead_recvmsg(fd, message, flags) : sys_recvmsg(fd, message, flags));
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (!process_guarded()) {
        return as_libc(sys_sendmsg(fd, message, flags));
    }
    return as_libc(
        readahead_is_monitor(fd) ? events_sendmsg(fd, message, flags) : line_sendmsg(fd, message, flags));
}

EXPORT ssize_t write(int fd, const void *buffer, size_t bytes) {
    return as_libc(process_guarded() ? readahead_write(fd, buffer, bytes) : sys_write(fd, buffer, bytes));
}
