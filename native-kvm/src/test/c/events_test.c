/* Real sockets; whether an epoch is armed and whether there are news is said here. */
#define _GNU_SOURCE
#include "check.h"
#include "control.h"
#include "events.h"
#include "sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STOP "{\"timestamp\": {\"seconds\": 1796277479, \"microseconds\": 963142}, \"event\": \"STOP\"}\r\n"
#define RESUME "{\"timestamp\": {\"seconds\": 1796277479, \"microseconds\": 963501}, \"event\": \"RESUME\"}\r\n"
#define ERROR "{\"timestamp\": {\"seconds\": 1796277479, \"microseconds\": 3}, \"event\": \"BLOCK_IO_ERROR\", \"data\": {}}\r\n"
#define SHUTDOWN "{\"timestamp\": {\"seconds\": 17, \"microseconds\": 3}, \"event\": \"SHUTDOWN\", \"data\": {\"guest\": true}}\r\n"
#define ANSWER "{\"return\": {}}\r\n"

static bool armed;
static bool news;
static unsigned told;
static unsigned writes;
/* A write takes this much at the most; 0: nothing, the socket is full. */
static size_t room;
#define ENOUGH 4096u

bool control_armed(void) {
    return armed;
}

void control_tell_news(void) {
    told += news;
    news = false;
}

ssize_t sys_sendmsg(int fd, const struct msghdr *message, int flags) {
    char all[ENOUGH];
    size_t bytes = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        memcpy(all + bytes, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
        bytes += message->msg_iov[i].iov_len;
    }
    if (room == 0) {
        return -EAGAIN;
    }
    ssize_t sent = send(fd, all, bytes < room ? bytes : room, flags);
    writes++;
    return sent < 0 ? -errno : sent;
}

static int ours;
static int theirs;

static void open_both(void) {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    ours = pair[0];
    theirs = pair[1];
    armed = false;
    news = false;
    told = 0;
    writes = 0;
    room = ENOUGH;
}

static void close_both(void) {
    events_closing(ours);
    close(ours);
    close(theirs);
}

static ssize_t say(const char *text) {
    struct iovec part = {.iov_base = (char *)text, .iov_len = strlen(text)};
    return events_sendmsg(ours, &(struct msghdr){.msg_iov = &part, .msg_iovlen = 1}, MSG_NOSIGNAL);
}

static void check_said(const char *text) {
    CHECK(say(text) == (ssize_t)strlen(text));
}

static void check_heard(const char *text) {
    char heard[ENOUGH];
    ssize_t bytes = recv(theirs, heard, sizeof heard, 0);
    CHECK(bytes == (ssize_t)strlen(text) || (bytes < 0 && *text == '\0'));
    CHECK(memcmp(heard, text, strlen(text)) == 0);
}

/* The main thread, through a pause to its end. */
static void pause_all(void) {
    armed = true;
    check_said(STOP);
    armed = false;
    news = true;
    events_pause_ended();
}

static void test_a_thread_that_was_not_seen_waiting_does_not_put_off(void) {
    open_both();
    pause_all();
    check_said(RESUME);
    check_heard(STOP RESUME);
    CHECK(told == 1);
    close_both();
}

static void test_pause_is_told_in_one_write_when_the_thread_waits(void) {
    open_both();
    pause_all();
    check_said(RESUME);
    check_said(ANSWER);
    check_heard("");
    CHECK(told == 0);
    events_thread_waits();
    check_heard(STOP RESUME ANSWER);
    CHECK(writes == 1 && told == 1);
    check_said(ANSWER);
    check_heard(ANSWER);
    check_said(RESUME);
    check_heard(RESUME);
    close_both();
}

/* QEMU's dispatcher answers in the turn of its main loop after the one in which the command ran. */
static void test_an_answer_after_a_wait_is_put_off_too(void) {
    open_both();
    pause_all();
    check_said(RESUME);
    events_thread_waits();
    check_heard(STOP RESUME);
    CHECK(told == 1);
    check_said("{\"return\": {}, \"id\": 7}\r\n");
    check_heard("");
    events_thread_waits();
    check_heard("{\"return\": {}, \"id\": 7}\r\n");
    check_said(ANSWER);
    check_heard(ANSWER);
    close_both();
}

static void test_what_is_not_taken_at_a_wait_is_said_at_the_next(void) {
    open_both();
    pause_all();
    check_said(RESUME);
    check_said(ANSWER);
    room = 0;
    events_thread_waits();
    room = 10;
    events_thread_waits();
    room = ENOUGH;
    events_thread_waits();
    check_heard(STOP RESUME ANSWER);
    check_said(ANSWER);
    check_heard(ANSWER);
    close_both();
}

static void test_a_wait_before_the_pause_ends_tells_nothing(void) {
    open_both();
    armed = true;
    check_said(STOP);
    events_thread_waits();
    check_heard("");
    pause_all();
    events_thread_waits();
    check_heard(STOP STOP);
    close_both();
}

static void *another_thread(void *unused) {
    (void)unused;
    events_thread_waits();
    CHECK(told == 0);
    check_said(ANSWER);
    return NULL;
}

static void test_another_thread_does_not_wait(void) {
    open_both();
    pause_all();
    check_said(RESUME);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, another_thread, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    check_heard(STOP RESUME ANSWER);
    CHECK(told == 1);
    events_thread_waits();
    check_heard("");
    close_both();
}

static void test_outside_a_checkpoint_nothing_is_put_off(void) {
    open_both();
    check_said(STOP);
    check_heard(STOP);
    check_said(RESUME);
    check_heard(RESUME);
    check_said(ANSWER);
    check_heard(ANSWER);
    close_both();
}

static void test_other_events_and_what_looks_alike_are_said_at_once(void) {
    open_both();
    armed = true;
    static const char *const others[] = {
        ERROR,
        ANSWER,
        "{\"event\": \"STOP\"}\r\n",
        "{\"timestamp\": {}, \"event\": \"STOP\"}",
        "{\"timestamp\": {}, \"event\": \"STOPPED\"}\r\n",
        ANSWER STOP,
        STOP STOP,
        "\"event\": \"STOP\"}\r\n",
        RESUME,
        "",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        check_said(others[i]);
        check_heard(others[i]);
    }
    close_both();
    static const char *const after[] = {SHUTDOWN, STOP, "{\"return\": [1]}\r\n", "{\"return\": {\"a\": 1}}\r\n",
        "{\"error\": {}}\r\n"};
    for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
        open_both();
        pause_all();
        check_said(after[i]);
        char expected[512];
        snprintf(expected, sizeof expected, "%s%s", STOP, after[i]);
        check_heard(expected);
        CHECK(told == 1);
        events_thread_waits();
        close_both();
    }
}

static void test_another_event_takes_what_was_put_off_with_it(void) {
    open_both();
    armed = true;
    check_said(STOP);
    check_said(ERROR);
    check_heard(STOP ERROR);
    close_both();
}

static void test_what_has_no_room_is_said_behind_the_rest(void) {
    open_both();
    armed = true;
    check_said(STOP);
    check_said(STOP);
    check_said(STOP);
    check_heard("");
    check_said(STOP);
    check_heard(STOP STOP STOP STOP);
    close_both();
}

static void test_full_socket_keeps_all_in_order(void) {
    open_both();
    armed = true;
    check_said(STOP);
    room = 0;
    CHECK(say(ANSWER) == -EAGAIN);
    room = 10;
    CHECK(say(ANSWER) == -EAGAIN);
    /* A write of nothing would be an error to QEMU. */
    room = strlen(STOP) - 10;
    CHECK(say(ANSWER) == -EAGAIN);
    room = 4;
    CHECK(say(ANSWER) == 4);
    room = ENOUGH;
    check_said(ANSWER + 4);
    check_heard(STOP ANSWER);
    close_both();
}

static void test_what_comes_in_parts_is_sent_behind_the_rest(void) {
    open_both();
    armed = true;
    check_said(STOP);
    struct iovec parts[] = {{.iov_base = "{\"return\"", .iov_len = 9}, {.iov_base = ": {}}\r\n", .iov_len = 7}};
    CHECK(events_sendmsg(ours, &(struct msghdr){.msg_iov = parts, .msg_iovlen = 2}, 0) == 16);
    check_heard(STOP ANSWER);
    close_both();
}

static void test_silence_ends_it(void) {
    open_both();
    armed = true;
    check_said(STOP);
    room = 0;
    events_tell();
    room = ENOUGH;
    events_tell();
    check_heard(STOP);
    events_tell();
    CHECK(writes == 1);
    close_both();
}

static void test_other_socket_is_not_mixed_up(void) {
    open_both();
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    armed = true;
    check_said(STOP);
    int first = ours;
    ours = pair[0];
    check_said(STOP);
    char heard[256];
    CHECK(recv(pair[1], heard, sizeof heard, 0) == (ssize_t)strlen(STOP));
    events_closing(ours);
    ours = first;
    check_said(ANSWER);
    check_heard(STOP ANSWER);
    close(pair[0]);
    close(pair[1]);
    close_both();
}

static void test_a_peer_that_is_gone_ends_nothing(void) {
    open_both();
    pause_all();
    check_said(RESUME);
    close(theirs);
    events_thread_waits();
    theirs = dup(ours);
    CHECK(say(SHUTDOWN) == -EPIPE);
    close_both();
}

static void test_closed_socket_has_nothing_put_off(void) {
    open_both();
    armed = true;
    check_said(STOP);
    close_both();
    open_both();
    check_said(ANSWER);
    check_heard(ANSWER);
    close_both();
}

int main(void) {
    test_a_thread_that_was_not_seen_waiting_does_not_put_off();
    events_thread_waits();
    test_pause_is_told_in_one_write_when_the_thread_waits();
    test_an_answer_after_a_wait_is_put_off_too();
    test_what_is_not_taken_at_a_wait_is_said_at_the_next();
    test_a_wait_before_the_pause_ends_tells_nothing();
    test_another_thread_does_not_wait();
    test_outside_a_checkpoint_nothing_is_put_off();
    test_other_events_and_what_looks_alike_are_said_at_once();
    test_another_event_takes_what_was_put_off_with_it();
    test_what_has_no_room_is_said_behind_the_rest();
    test_full_socket_keeps_all_in_order();
    test_what_comes_in_parts_is_sent_behind_the_rest();
    test_silence_ends_it();
    test_other_socket_is_not_mixed_up();
    test_a_peer_that_is_gone_ends_nothing();
    test_closed_socket_has_nothing_put_off();
    return 0;
}
