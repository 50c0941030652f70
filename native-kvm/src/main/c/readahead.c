#define _GNU_SOURCE
#include "readahead.h"

#include "process.h"
#include "sys.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More than a command of an epoch has; a longer one takes some turns. */
#define BYTES_AHEAD 128u
/* A monitor's thread waits for its socket and two eventfds. */
#define MAX_WAITED 8u

/* The engine's socket, once it was read and until it is closed. */
static atomic_int monitor_fd = -1;
/* To which eventfd wake-ups are put off, once one was and until it is closed. */
static atomic_int wake_fd = -1;

/* Bytes of this thread's. */
static _Thread_local struct {
    int fd; /* -1: it has none */
    uint8_t bytes[BYTES_AHEAD];
    size_t from;
    size_t to;
    /* What its wake-ups that were put off add up to. */
    uint64_t put_off;
} mine = {.fd = -1};

/* What this thread's last poll asked for. */
static _Thread_local int waited[MAX_WAITED];
static _Thread_local unsigned waited_count;

static void wake_now(void) {
    int fd = atomic_load(&wake_fd);
    uint64_t sum = mine.put_off;
    mine.put_off = 0;
    if (sum != 0 && fd >= 0) {
        sys_write(fd, &sum, sizeof sum);
    }
}

static bool has_bytes(void) {
    if (mine.fd >= 0 && mine.fd != atomic_load(&monitor_fd)) {
        /* Closed. */
        mine.fd = -1;
        wake_now();
    }
    return mine.fd >= 0;
}

/* Whether there is more for one who asks for this; 0: the kernel is to be asked. */
static int say_there_is_more(struct pollfd *fds, nfds_t count) {
    if (!has_bytes()) {
        return 0;
    }
    int ready = 0;
    for (nfds_t i = 0; i < count; i++) {
        fds[i].revents = fds[i].fd == mine.fd ? fds[i].events & POLLIN : 0;
        ready += fds[i].revents != 0;
    }
    if (ready == 0) {
        wake_now();
    }
    return ready;
}

static void remember(const struct pollfd *fds, nfds_t count) {
    waited_count = 0;
    for (nfds_t i = 0; i < count && waited_count < MAX_WAITED; i++) {
        if ((fds[i].events & POLLIN) != 0) {
            waited[waited_count++] = fds[i].fd;
        }
    }
}

int readahead_poll(struct pollfd *fds, nfds_t count, int timeout_millis) {
    int ready = say_there_is_more(fds, count);
    if (ready == 0) {
        ready = sys_poll(fds, count, timeout_millis);
        if (ready >= 0) {
            remember(fds, count);
        }
    }
    return ready;
}

int readahead_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
    int ready = say_there_is_more(fds, count);
    if (ready == 0) {
        ready = sys_ppoll(fds, count, timeout, mask);
        if (ready >= 0) {
            remember(fds, count);
        }
    }
    return ready;
}

static bool waits_for(int fd) {
    bool found = false;
    for (unsigned i = 0; i < waited_count; i++) {
        found |= waited[i] == fd;
    }
    return found;
}

static bool is_engines(int fd) {
    int known = atomic_load(&monitor_fd);
    if (known >= 0) {
        return fd == known;
    }
    int type;
    socklen_t type_bytes = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_bytes) == 0 && type == SOCK_STREAM
        && process_is_engines(fd) && atomic_compare_exchange_strong(&monitor_fd, &known, fd);
}

static ssize_t receive_ahead(int fd, struct msghdr *message, int flags) {
    struct iovec parts[] = {*message->msg_iov, {.iov_base = mine.bytes, .iov_len = sizeof mine.bytes}};
    struct msghdr wider = *message;
    wider.msg_iov = parts;
    wider.msg_iovlen = 2;
    ssize_t received = sys_recvmsg(fd, &wider, flags);
    if (received < 0) {
        return received;
    }
    message->msg_namelen = wider.msg_namelen;
    message->msg_controllen = wider.msg_controllen;
    message->msg_flags = wider.msg_flags;
    if (received > 1) {
        mine.fd = fd;
        mine.from = 0;
        mine.to = (size_t)received - 1;
        received = 1;
    }
    return received;
}

static ssize_t hand_out(struct msghdr *message, int flags) {
    size_t at = mine.from;
    for (size_t i = 0; i < message->msg_iovlen && at < mine.to; i++) {
        struct iovec *part = &message->msg_iov[i];
        size_t bytes = part->iov_len < mine.to - at ? part->iov_len : mine.to - at;
        memcpy(part->iov_base, mine.bytes + at, bytes);
        at += bytes;
    }
    message->msg_namelen = 0;
    message->msg_controllen = 0;
    message->msg_flags = 0;
    ssize_t handed_out = (ssize_t)(at - mine.from);
    if ((flags & MSG_PEEK) != 0) {
        return handed_out;
    }
    mine.from = at;
    if (at == mine.to) {
        mine.fd = -1;
        wake_now();
    }
    return handed_out;
}

ssize_t readahead_recvmsg(int fd, struct msghdr *message, int flags) {
    if (has_bytes() && fd == mine.fd) {
        return hand_out(message, flags);
    }
    bool single_byte = message->msg_iovlen == 1 && message->msg_iov->iov_len == 1;
    bool plain = (flags & ~(MSG_CMSG_CLOEXEC | MSG_DONTWAIT)) == 0;
    return single_byte && plain && mine.fd < 0 && waits_for(fd) && is_engines(fd) ? receive_ahead(fd, message, flags)
                                                                                  : sys_recvmsg(fd, message, flags);
}

static bool is_eventfd(int fd) {
    static const char eventfd[] = "anon_inode:[eventfd]";
    char link[32];
    char target[sizeof eventfd];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, target, sizeof target);
    return length == sizeof eventfd - 1 && memcmp(target, eventfd, sizeof eventfd - 1) == 0;
}

static bool is_own_wake_up(int fd) {
    int known = atomic_load(&wake_fd);
    return known >= 0 ? fd == known
                      : waits_for(fd) && is_eventfd(fd) && atomic_compare_exchange_strong(&wake_fd, &known, fd);
}

ssize_t readahead_write(int fd, const void *buffer, size_t bytes) {
    if (bytes != sizeof mine.put_off || !has_bytes() || !is_own_wake_up(fd)) {
        return sys_write(fd, buffer, bytes);
    }
    uint64_t value;
    memcpy(&value, buffer, sizeof value);
    mine.put_off += value;
    return (ssize_t)bytes;
}

bool readahead_is_monitor(int fd) {
    return fd >= 0 && fd == atomic_load(&monitor_fd);
}

void readahead_closing(int fd) {
    int closing = fd;
    atomic_compare_exchange_strong(&monitor_fd, &closing, -1);
    closing = fd;
    atomic_compare_exchange_strong(&wake_fd, &closing, -1);
}
