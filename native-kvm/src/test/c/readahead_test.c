/* Real sockets and eventfds under the functions; only what they ask the kernel for is counted, in this file's sys_ functions. */
#define _GNU_SOURCE
#include "check.h"
#include "process.h"
#include "readahead.h"
#include "sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

static pid_t engine;

bool process_is_engines(int socket) {
    struct ucred peer;
    socklen_t bytes = sizeof peer;
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 && peer.pid == engine;
}

static unsigned polls;
static unsigned receives;
static unsigned writes;

int sys_poll(struct pollfd *fds, nfds_t count, int timeout_millis) {
    polls++;
    int ready = poll(fds, count, timeout_millis);
    return ready < 0 ? -errno : ready;
}

int sys_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
    polls++;
    int ready = ppoll(fds, count, timeout, mask);
    return ready < 0 ? -errno : ready;
}

ssize_t sys_recvmsg(int fd, struct msghdr *message, int flags) {
    receives++;
    ssize_t received = recvmsg(fd, message, flags);
    return received < 0 ? -errno : received;
}

ssize_t sys_write(int fd, const void *buffer, size_t bytes) {
    writes++;
    ssize_t written = write(fd, buffer, bytes);
    return written < 0 ? -errno : written;
}

static int ours;
static int theirs;
static int wakeup;

static void open_all(void) {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    ours = pair[0];
    theirs = pair[1];
    wakeup = eventfd(0, EFD_NONBLOCK);
    engine = getpid();
    polls = receives = writes = 0;
}

static void close_ours(int fd) {
    readahead_closing(fd);
    CHECK(close(fd) == 0);
}

static void close_all(void) {
    close_ours(ours);
    close_ours(wakeup);
    CHECK(close(theirs) == 0);
}

static void send_text(const char *text) {
    CHECK(write(theirs, text, strlen(text)) == (ssize_t)strlen(text));
}

/* GLib waits with the one or with the other, depending on its version. */
static bool with_ppoll;

/* What a monitor's thread waits for, its socket once more for its end; returns what it is told of: 1 the socket, 2 the wake-up. */
static int wait_for_both(void) {
    struct pollfd fds[] = {
        {.fd = ours, .events = 0}, {.fd = ours, .events = POLLIN}, {.fd = wakeup, .events = POLLIN}};
    struct timespec at_once = {0};
    int ready = with_ppoll ? readahead_ppoll(fds, 3, &at_once, NULL) : readahead_poll(fds, 3, 0);
    CHECK(ready == (fds[0].revents != 0) + (fds[1].revents != 0) + (fds[2].revents != 0));
    return (fds[1].revents & POLLIN ? 1 : 0) + (fds[2].revents & POLLIN ? 2 : 0);
}

static ssize_t receive(void *to, size_t bytes, int flags) {
    struct iovec part = {to, bytes};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t received = readahead_recvmsg(ours, &message, flags);
    CHECK(received < 0 || message.msg_controllen == 0);
    return received;
}

static char next(void) {
    char c;
    CHECK(wait_for_both() & 1);
    CHECK(receive(&c, 1, 0) == 1);
    return c;
}

static void wake(uint64_t value) {
    CHECK(readahead_write(wakeup, &value, sizeof value) == sizeof value);
}

static uint64_t woken(void) {
    uint64_t value = 0;
    CHECK(read(wakeup, &value, sizeof value) == sizeof value || errno == EAGAIN);
    return value;
}

static int left_in_kernel(void) {
    int bytes;
    CHECK(ioctl(ours, FIONREAD, &bytes) == 0);
    return bytes;
}

static void one_call_takes_all(void) {
    open_all();
    send_text("command");
    for (const char *c = "command"; *c != '\0'; c++) {
        CHECK(next() == *c);
    }
    CHECK(polls == 1 && receives == 1);
    CHECK(wait_for_both() == 0 && polls == 2);
    char c;
    CHECK(receive(&c, 1, 0) == -EAGAIN);
    send_text("x");
    CHECK(next() == 'x');
    CHECK(close(theirs) == 0);
    CHECK(wait_for_both() & 1);
    CHECK(receive(&c, 1, 0) == 0);
    theirs = dup(0);
    close_all();
}

/* Each test's threads are new: nothing was waited for. */
static void *take_one(void *argument) {
    char *c = argument;
    CHECK(receive(c, 1, 0) == 1);
    return NULL;
}

/* Who waits by other means would not hear of what was taken. */
static void nothing_is_taken_of_what_is_not_polled(void) {
    open_all();
    send_text("abcdef");
    char c;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, take_one, &c) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(c == 'a' && left_in_kernel() == 5);
    CHECK(wait_for_both() == 1);
    char two[2];
    CHECK(receive(two, 2, 0) == 2 && left_in_kernel() == 3);
    CHECK(wait_for_both() == 1);
    CHECK(receive(&c, 1, MSG_PEEK) == 1 && c == 'd' && left_in_kernel() == 3);
    CHECK(next() == 'd' && left_in_kernel() == 0);
    /* Longer reads, and peeks, of what was taken. */
    CHECK(receive(two, 2, MSG_PEEK) == 2 && two[0] == 'e');
    char more[9];
    CHECK(receive(more, sizeof more, 0) == 2 && memcmp(more, "ef", 2) == 0);
    CHECK(receive(&c, 1, 0) == -EAGAIN);
    close_all();
}

static void others_sockets_are_left_alone(void) {
    open_all();
    engine = getppid();
    send_text("abc");
    CHECK(next() == 'a' && left_in_kernel() == 2);
    engine = getpid();
    CHECK(next() == 'b' && left_in_kernel() == 0);
    /* A second one, while the first is there. */
    int first = ours;
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    CHECK(write(pair[1], "xy", 2) == 2);
    ours = pair[0];
    CHECK(next() == 'x' && left_in_kernel() == 1);
    close_ours(ours);
    CHECK(close(pair[1]) == 0);
    /* Messages have ends. */
    ours = first;
    CHECK(next() == 'c');
    close_ours(ours);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
    ours = pair[0];
    CHECK(write(pair[1], "12", 2) == 2 && write(pair[1], "3", 1) == 1);
    CHECK(next() == '1' && next() == '3');
    CHECK(close(pair[1]) == 0);
    close_all();
}

static void wake_ups_are_put_off(void) {
    open_all();
    wake(1);
    CHECK(woken() == 1);
    send_text("abc");
    CHECK(next() == 'a');
    writes = 0;
    wake(1);
    wake(2);
    CHECK(writes == 0 && wait_for_both() == 1);
    CHECK(next() == 'b');
    wake(1);
    CHECK(writes == 0);
    CHECK(next() == 'c');
    CHECK(writes == 1 && woken() == 4);
    wake(1);
    CHECK(woken() == 1);

    /* A poll that does not ask for the bytes may sleep. */
    send_text("de");
    CHECK(next() == 'd');
    wake(7);
    struct pollfd only = {.fd = wakeup, .events = POLLIN};
    CHECK(readahead_poll(&only, 1, 0) == 1 && woken() == 7);
    CHECK(next() == 'e');
    close_all();
}

static void *wake_from_elsewhere(void *argument) {
    (void)argument;
    wake(5);
    return NULL;
}

static void other_writes_are_not(void) {
    open_all();
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    int unrelated = eventfd(0, EFD_NONBLOCK);
    send_text("ab");
    struct pollfd fds[] = {
        {.fd = ours, .events = POLLIN}, {.fd = wakeup, .events = POLLIN}, {.fd = pipes[1], .events = POLLIN}};
    CHECK(readahead_poll(fds, 3, 0) == 1);
    char c;
    CHECK(receive(&c, 1, 0) == 1);
    uint64_t value = 3;
    CHECK(readahead_write(pipes[1], &value, sizeof value) == sizeof value && writes == 1);
    CHECK(readahead_write(unrelated, &value, sizeof value) == sizeof value && writes == 2);
    CHECK(readahead_write(wakeup, &value, 4) == -EINVAL && writes == 3);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wake_from_elsewhere, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(writes == 4 && woken() == 5);
    CHECK(next() == 'b');
    CHECK(close(pipes[0]) == 0 && close(pipes[1]) == 0 && close(unrelated) == 0);
    close_all();
}

static void *close_from_elsewhere(void *argument) {
    close_ours(*(int *)argument);
    return NULL;
}

/* The number of a closed socket is given to another at once. */
static void a_closed_socket_leaves_nothing(bool elsewhere) {
    open_all();
    send_text("abc");
    CHECK(next() == 'a');
    wake(9);
    int number = ours;
    if (elsewhere) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, close_from_elsewhere, &number) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    } else {
        close_ours(ours);
    }
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    CHECK(pair[0] == number);
    CHECK(wait_for_both() == 2 && woken() == 9);
    char c;
    CHECK(receive(&c, 1, 0) == -EAGAIN);
    CHECK(close(pair[1]) == 0);
    close_all();
}

/* Whatever is asked for and however it comes, it is the same stream. */
static void a_stream_stays_as_it_is(void) {
    open_all();
    unsigned seed = 1;
    unsigned sent = 0;
    unsigned received = 0;
    while (received < 200000) {
        seed = seed * 1103515245u + 12345u;
        unsigned choice = seed >> 16;
        if (choice % 3 == 0 && sent - received < 4000) {
            uint8_t bytes[700];
            unsigned count = 1 + choice / 3 % sizeof bytes;
            for (unsigned i = 0; i < count; i++) {
                bytes[i] = (uint8_t)((sent + i) * 31u);
            }
            CHECK(write(theirs, bytes, count) == (ssize_t)count);
            sent += count;
        } else if (choice % 3 == 1) {
            CHECK((wait_for_both() & 1) == (sent > received));
        } else {
            uint8_t bytes[600];
            unsigned wanted = choice % 5 != 0 ? 1 : 1 + choice / 5 % sizeof bytes;
            int flags = choice % 7 == 0 ? MSG_PEEK : 0;
            ssize_t count = receive(bytes, wanted, flags);
            CHECK(count > 0 ? sent > received : count == -EAGAIN && sent == received);
            for (ssize_t i = 0; i < count; i++) {
                CHECK(bytes[i] == (uint8_t)((received + i) * 31u));
            }
            received += flags == 0 && count > 0 ? (unsigned)count : 0;
        }
    }
    close_all();
}

static void descriptors_come_along(void) {
    open_all();
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.head), &wakeup, sizeof wakeup);
    struct iovec text = {"ab", 2};
    struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    CHECK(sendmsg(theirs, &message, 0) == 2);
    CHECK(wait_for_both() == 1);
    char c;
    struct iovec one = {&c, 1};
    struct msghdr in = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    CHECK(readahead_recvmsg(ours, &in, MSG_CMSG_CLOEXEC) == 1 && c == 'a');
    CHECK(in.msg_controllen == CMSG_SPACE(sizeof(int)) && in.msg_iovlen == 1 && in.msg_iov == &one);
    int passed;
    memcpy(&passed, CMSG_DATA(&control.head), sizeof passed);
    CHECK(close(passed) == 0);
    CHECK(next() == 'b');
    close_all();
}

int main(void) {
    one_call_takes_all();
    nothing_is_taken_of_what_is_not_polled();
    others_sockets_are_left_alone();
    wake_ups_are_put_off();
    other_writes_are_not();
    a_closed_socket_leaves_nothing(false);
    a_closed_socket_leaves_nothing(true);
    a_stream_stays_as_it_is();
    with_ppoll = true;
    one_call_takes_all();
    a_stream_stays_as_it_is();
    descriptors_come_along();
    return 0;
}
