#define _GNU_SOURCE
#include "readahead.h"

#include "sys.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More than a command of an epoch has; a longer one takes some turns. */
#define BYTES_AHEAD 512u
/* A monitor's thread waits for its socket and two eventfds. */
#define MAX_WAITED 8u

/* Of which socket a thread has bytes; -1: no thread has any, or it was closed. */
static atomic_int ahead_fd = -1;
/* The eventfd to which that thread's wake-ups are put off; -1: none was yet, or it was closed. */
static atomic_int wake_fd = -1;

static _Thread_local struct {
    int fd; /* -1: it has none */
    uint8_t bytes[BYTES_AHEAD];
    size_t from;
    size_t to;
    /* What its wake-ups that were put off add up to. */
    uint64_t put_off;
} mine = {.fd = -1};

/* What this thread's last poll waited for, and which of it can be read. */
static _Thread_local struct {
    int fd;
    bool told;
} waited[MAX_WAITED];
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
    if (mine.fd >= 0 && mine.fd != atomic_load(&ahead_fd)) {
        /* Closed. */
        mine.fd = -1;
        wake_now();
    }
    return mine.fd >= 0;
}

static int say_there_is_more(struct pollfd *fds, nfds_t count) {
    int ready = 0;
    for (nfds_t i = 0; i < count; i++) {
        fds[i].revents = fds[i].fd == mine.fd ? fds[i].events & POLLIN : 0;
        ready += fds[i].revents != 0;
    }
    return ready;
}

int readahead_poll(struct pollfd *fds, nfds_t count, int timeout_millis) {
    if (has_bytes()) {
        int ready = say_there_is_more(fds, count);
        if (ready > 0) {
            return ready;
        }
        wake_now();
    }
    int ready = sys_poll(fds, count, timeout_millis);
    waited_count = 0;
    for (nfds_t i = 0; i < count && waited_count < MAX_WAITED; i++) {
        if ((fds[i].events & POLLIN) != 0) {
            waited[waited_count].fd = fds[i].fd;
            waited[waited_count++].told = ready > 0 && (fds[i].revents & POLLIN) != 0;
        }
    }
    return ready;
}

static bool waits_for(int fd) {
    bool found = false;
    for (unsigned i = 0; i < waited_count; i++) {
        found |= waited[i].fd == fd;
    }
    return found;
}

/* Only once: afterwards there may be nothing any more. */
static bool was_told_of(int fd) {
    bool found = false;
    for (unsigned i = 0; i < waited_count; i++) {
        if (waited[i].fd == fd) {
            found |= waited[i].told;
            waited[i].told = false;
        }
    }
    return found;
}

static ssize_t receive_ahead(int fd, struct msghdr *message, int flags) {
    struct iovec parts[] = {*message->msg_iov, {.iov_base = mine.bytes, .iov_len = sizeof mine.bytes}};
    struct msghdr wider = *message;
    wider.msg_iov = parts;
    wider.msg_iovlen = 2;
    ssize_t received = sys_recvmsg(fd, &wider, flags);
    if (received > 1) {
        mine.fd = fd;
        mine.from = 0;
        mine.to = (size_t)received - 1;
        received = 1;
    } else {
        atomic_store(&ahead_fd, -1);
    }
    if (received >= 0) {
        message->msg_namelen = wider.msg_namelen;
        message->msg_controllen = wider.msg_controllen;
        message->msg_flags = wider.msg_flags;
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
        atomic_store(&ahead_fd, -1);
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
    int none = -1;
    if (single_byte && plain && was_told_of(fd) && atomic_compare_exchange_strong(&ahead_fd, &none, fd)) {
        return receive_ahead(fd, message, flags);
    }
    return sys_recvmsg(fd, message, flags);
}

static bool is_eventfd(int fd) {
    static const char eventfd[] = "anon_inode:[eventfd]";
    char link[32];
    char target[sizeof eventfd];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, target, sizeof target);
    return length == sizeof eventfd - 1 && memcmp(target, eventfd, sizeof eventfd - 1) == 0;
}

ssize_t readahead_write(int fd, const void *buffer, size_t bytes) {
    if (bytes != sizeof mine.put_off || !has_bytes() || !waits_for(fd)) {
        return sys_write(fd, buffer, bytes);
    }
    int none = -1;
    if (atomic_load(&wake_fd) == none && is_eventfd(fd)) {
        atomic_compare_exchange_strong(&wake_fd, &none, fd);
    }
    if (fd != atomic_load(&wake_fd)) {
        return sys_write(fd, buffer, bytes);
    }
    uint64_t value;
    memcpy(&value, buffer, sizeof value);
    mine.put_off += value;
    return (ssize_t)bytes;
}

void readahead_closing(int fd) {
    int closing = fd;
    atomic_compare_exchange_strong(&ahead_fd, &closing, -1);
    closing = fd;
    atomic_compare_exchange_strong(&wake_fd, &closing, -1);
}
