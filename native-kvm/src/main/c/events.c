#define _GNU_SOURCE
#include "events.h"

#include "control.h"
#include "sys.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* A STOP and a RESUME with their times and an empty answer have 180 bytes. */
#define BYTES_PUT_OFF 256u

/* Whether this thread waits where events_thread_waits hears of it; another could never tell what was put off. */
static _Thread_local bool is_seen_waiting;
/* Of the pause that ended last on this thread. QEMU may wait before it answers. */
static _Thread_local enum { ALL_SAID, TO_BE_ANSWERED, ANSWERED } pause_here;

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

static bool is_event(const struct iovec *part, const char *end) {
    return is_line(part, "{\"timestamp\": {", end);
}

static bool is_answer(const struct iovec *part) {
    return is_line(part, "{\"return\": {}", "}\r\n");
}

/* Nothing else: what QEMU says last before it ends must not wait. */
static bool is_of_a_pause(const struct iovec *part) {
    return pause_here == ALL_SAID ? is_event(part, "\"event\": \"STOP\"}\r\n") && control_armed()
                                  : is_event(part, "\"event\": \"RESUME\"}\r\n") || is_answer(part);
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
    if (pause_here == TO_BE_ANSWERED && is_answer(part)) {
        pause_here = ANSWERED;
    }
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
    size_t of_others = (size_t)sent - of_those;
    return bytes > 0 || (of_others == 0 && count > 1) ? -EAGAIN : (ssize_t)of_others;
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
        pause_here = ALL_SAID;
        control_tell_news();
        sent = send_all(fd, message, flags);
    }
    pthread_mutex_unlock(&lock);
    return sent;
}

void events_pause_ended(void) {
    pause_here = is_seen_waiting ? TO_BE_ANSWERED : ALL_SAID;
}

bool events_tell(void) {
    pthread_mutex_lock(&lock);
    if (bytes > 0) {
        send_with((struct iovec[]){{0}}, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    bool all = bytes == 0;
    pthread_mutex_unlock(&lock);
    return all;
}

void events_tell_pause(void) {
    if (pause_here == ALL_SAID) {
        return;
    }
    control_tell_news();
    if (events_tell() && pause_here == ANSWERED) {
        pause_here = ALL_SAID;
    }
}

void events_thread_waits(void) {
    is_seen_waiting = true;
    events_tell_pause();
}

void events_closing(int fd) {
    pthread_mutex_lock(&lock);
    if (fd == monitor) {
        bytes = 0;
    }
    pthread_mutex_unlock(&lock);
}
