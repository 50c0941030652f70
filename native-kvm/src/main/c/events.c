#define _GNU_SOURCE
#include "events.h"

#include "control.h"
#include "sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* A STOP and a RESUME with their times and an empty answer have 180 bytes. */
#define BYTES_PUT_OFF 256u

/* Whether this thread waits where events_thread_waits hears of it; another could never tell what was put off. */
static _Thread_local bool is_seen_waiting;
static _Thread_local bool pause_ended_here;

/* Guards what follows, and that nothing is said in between. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int monitor; /* whose it is */
static char put_off[BYTES_PUT_OFF];
static size_t bytes;

static bool is_line(const struct iovec *part, const char *begin, const char *end) {
    const char *text = part->iov_base;
    size_t length = part->iov_len;
    size_t begins = strlen(begin);
    size_t ends = strlen(end);
    return length >= begins + ends && memcmp(text, begin, begins) == 0
        && memcmp(text + length - ends, end, ends) == 0 && memchr(text, '\n', length - 1) == NULL;
}

/* Nothing else: what QEMU says last before it ends must not wait. */
static bool is_of_a_pause(const struct iovec *part) {
    static const char event[] = "{\"timestamp\": {";
    return pause_ended_here
        ? is_line(part, event, "\"event\": \"RESUME\"}\r\n") || is_line(part, "{\"return\": {}", "}\r\n")
        : is_line(part, event, "\"event\": \"STOP\"}\r\n") && control_armed();
}

static bool is_plain(const struct msghdr *message) {
    return message->msg_iovlen == 1 && message->msg_controllen == 0;
}

/* The lock is held. */
static bool put_off_too(int fd, const struct msghdr *message) {
    const struct iovec *part = message->msg_iov;
    bool room = (bytes == 0 || fd == monitor) && part->iov_len <= sizeof put_off - bytes;
    if (!room || !is_of_a_pause(part)) {
        return false;
    }
    monitor = fd;
    memcpy(put_off + bytes, part->iov_base, part->iov_len);
    bytes += part->iov_len;
    return true;
}

/* What was put off, and behind it what is in the parts from the second on. Returns how much of that was sent. The lock is held. */
static ssize_t send_with(struct iovec *parts, size_t count, int flags) {
    parts[0] = (struct iovec){.iov_base = put_off, .iov_len = bytes};
    struct msghdr all = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent = sys_sendmsg(monitor, &all, flags);
    if (sent < 0) {
        return sent;
    }
    size_t of_those = (size_t)sent < bytes ? (size_t)sent : bytes;
    bytes -= of_those;
    memmove(put_off, put_off + of_those, bytes);
    return bytes > 0 ? -EAGAIN : sent - (ssize_t)of_those;
}

static ssize_t send_all(int fd, const struct msghdr *message, int flags) {
    if (bytes == 0 || fd != monitor) {
        return sys_sendmsg(fd, message, flags);
    }
    if (is_plain(message)) {
        /* In one write, so that the engine's thread wakes up once. */
        return send_with((struct iovec[]){{0}, *message->msg_iov}, 2, flags);
    }
    ssize_t sent = send_with((struct iovec[]){{0}}, 1, flags);
    return sent < 0 ? sent : sys_sendmsg(fd, message, flags);
}

ssize_t events_sendmsg(int fd, const struct msghdr *message, int flags) {
    pthread_mutex_lock(&lock);
    ssize_t sent;
    if (is_plain(message) && put_off_too(fd, message)) {
        sent = (ssize_t)message->msg_iov->iov_len;
    } else {
        if (control_has_news()) {
            control_tell_news();
        }
        sent = send_all(fd, message, flags);
    }
    pthread_mutex_unlock(&lock);
    return sent;
}

void events_pause_ended(void) {
    pause_ended_here = is_seen_waiting;
}

void events_thread_waits(void) {
    is_seen_waiting = true;
    if (!pause_ended_here) {
        return;
    }
    pause_ended_here = false;
    if (control_has_news()) {
        control_tell_news();
    }
    events_tell();
}

void events_tell(void) {
    pthread_mutex_lock(&lock);
    if (bytes > 0) {
        send_with((struct iovec[]){{0}}, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    pthread_mutex_unlock(&lock);
}

void events_closing(int fd) {
    pthread_mutex_lock(&lock);
    if (fd == monitor) {
        bytes = 0;
    }
    pthread_mutex_unlock(&lock);
}
