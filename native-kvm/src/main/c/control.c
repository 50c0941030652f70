#define _GNU_SOURCE
#include "control.h"

#include "checkpoint.h"
#include "events.h"
#include "inbox.h"
#include "line.h"
#include "ram.h"
#include "staging.h"
#include "sys.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int fd = -1;
/* Tells the service thread that another thread has read a message that is for it. */
static int wake = -1;
/* Tells a thread that waits for a line that another thread has read that it is drawn. */
static int line_drawn = -1;
/* Guards inbox, slots (staging.mine) and read_here. Taken before ram.lock and news_lock where both are held. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t reads_elsewhere_ended = PTHREAD_COND_INITIALIZER;
static struct inbox inbox;
/* How many of QEMU's threads read the socket themselves: one that waits for a line, and the main thread at the end of a pause. */
static unsigned read_here;
/* inbox_line_is_open, for who does not hold the lock. */
static atomic_bool line_is_open;
/* One of QEMU's threads at a time waits for a line. Taken before lock. */
static pthread_mutex_t waits_for_line = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t precopy_ended = PTHREAD_COND_INITIALIZER;
static struct control_service service;

/* What a pause has to say. */
#define NEWS 64u
static pthread_mutex_t news_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vmft_message news[NEWS];
static unsigned news_count;
static atomic_bool has_news;

static _Noreturn void end_process(const char *reason) {
    dprintf(STDERR_FILENO, "vmft: %s; ending QEMU, because a VM must not run without its engine\n", reason);
    kill(getpid(), SIGKILL);
    _exit(1);
}

void control_die(int error, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dprintf(STDERR_FILENO, "vmft: %s: %s\n", text, strerror(error));
    if (fd >= 0) {
        struct vmft_message message = {.type = VMFT_ERROR, .arg = (uint32_t)error};
        memcpy(message.value, text, strnlen(text, sizeof message.value));
        send(fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    _exit(1);
}

/* The socket's buffer holds all that can be under way; if it does not, the engine is broken. */
static void send_messages(const struct vmft_message *messages, size_t bytes) {
    ssize_t n;
    do {
        n = send(fd, messages, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)bytes) {
        return;
    }
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
        end_process("the engine closed the control socket");
    }
    end_process("the engine does not read the control socket");
}

static void send_message(const struct vmft_message *message) {
    send_messages(message, sizeof *message);
}

/* The news lock is held. */
static void tell_news(void) {
    if (news_count > 0) {
        send_messages(news, news_count * sizeof *news);
        news_count = 0;
        atomic_store(&has_news, false);
    }
}

static void add_news(const struct vmft_message *message) {
    pthread_mutex_lock(&news_lock);
    if (news_count == NEWS) {
        tell_news();
    }
    news[news_count++] = *message;
    atomic_store(&has_news, true);
    pthread_mutex_unlock(&news_lock);
}

bool control_has_news(void) {
    return atomic_load(&has_news);
}

void control_tell_news(void) {
    pthread_mutex_lock(&news_lock);
    tell_news();
    pthread_mutex_unlock(&news_lock);
}

/* Reads all that is there without waiting. The lock is held. */
static void receive(void) {
    for (;;) {
        size_t room;
        uint8_t *space = inbox_space(&inbox, &room);
        ssize_t n = recv(fd, space, room, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        }
        if (n <= 0) {
            end_process("the engine closed the control socket");
        }
        const char *wrong = inbox_received(&inbox, (size_t)n);
        if (wrong != NULL) {
            control_die(EPROTO, "%s on the control socket", wrong);
        }
        if (inbox.take_back) {
            inbox.take_back = false;
            checkpoint_take_back();
        }
        if (atomic_load(&line_is_open) && !inbox_line_is_open(&inbox)) {
            atomic_store(&line_is_open, false);
            eventfd_write(line_drawn, 1);
        }
        if ((size_t)n < room) {
            return;
        }
    }
}

/* Reads all that is there without waiting, on one of QEMU's threads. The lock is held. */
static void drain(void) {
    receive();
    if (inbox.live_asked || inbox.freeze_asked || inbox.precopy_asked) {
        eventfd_write(wake, 1);
    }
}

/* The lock is held, and given up meanwhile. */
static void precopy(void) {
    /* No other is armed until the engine has the answer. */
    uint64_t epoch = inbox.epoch;
    inbox.precopy_asked = false;
    if (inbox.phase == INBOX_ARMED) {
        inbox.precopying = true;
        pthread_mutex_unlock(&lock);
        service.precopy();
        pthread_mutex_lock(&lock);
        inbox.precopying = false;
        inbox.precopied = inbox.phase == INBOX_ARMED;
        if (!inbox.precopied) {
            checkpoint_take_back();
        }
        pthread_cond_signal(&precopy_ended);
    }
    send_message(&(struct vmft_message){.type = VMFT_PRECOPIED, .epoch = epoch});
}

/* QEMU speaks to the engine after every pause, with an event or an answer. If it does not, the engine hears of the pause so much later. */
#define NEWS_MILLIS 500

static void *serve(void *unused) {
    (void)unused;
    for (;;) {
        struct pollfd readable[] = {{.fd = fd, .events = POLLIN}, {.fd = wake, .events = POLLIN}};
        if (poll(readable, 2, NEWS_MILLIS) == 0) {
            control_tell_news();
            events_tell();
        }
        eventfd_t count;
        eventfd_read(wake, &count);
        pthread_mutex_lock(&lock);
        while (read_here > 0) {
            pthread_cond_wait(&reads_elsewhere_ended, &lock);
        }
        receive();
        bool asked = inbox.live_asked;
        bool freeze = inbox.freeze_asked;
        inbox.freeze_asked = false;
        uint64_t sequence = inbox.live_sequence;
        bool touched = inbox.live_touched;
        if (inbox.precopy_asked) {
            precopy();
        }
        pthread_mutex_unlock(&lock);
        if (freeze) {
            send_message(&(struct vmft_message){.type = VMFT_FROZEN, .value = {ram_freeze(), line_has_sent()}});
        }
        if (asked) {
            service.harvest_live(sequence, touched);
        }
    }
    return NULL;
}

int control_connect(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        return -ENAMETOOLONG;
    }
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int error = -errno;
        sys_close(fd);
        fd = -1;
        return error;
    }
    /* Room for every message that can be under way: as many chunks as slots, and a few. */
    int bytes = 1 << 20;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return 0;
}

int control_start(struct control_service served) {
    service = served;
    wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    line_drawn = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0 || line_drawn < 0) {
        return -errno;
    }
    struct vmft_message hello = {.type = VMFT_HELLO, .arg = VMFT_ABI, .value = {(uint64_t)getpid()}};
    send_message(&hello);
    return sys_start_thread("vmft", serve, NULL);
}

void control_abandon(void) {
    sys_close(fd);
    fd = -1;
}

bool control_armed(void) {
    pthread_mutex_lock(&lock);
    drain();
    bool armed = inbox.phase == INBOX_ARMED;
    pthread_mutex_unlock(&lock);
    return armed;
}

bool control_pause_begin(void) {
    pthread_mutex_lock(&lock);
    while (inbox.precopying) {
        pthread_cond_wait(&precopy_ended, &lock);
    }
    bool precopied = inbox.precopied;
    inbox.precopied = false;
    /* Unless it was given up since control_armed. */
    inbox.voided = inbox.phase != INBOX_ARMED;
    inbox.phase = INBOX_PAUSED;
    pthread_mutex_unlock(&lock);
    return precopied;
}

int control_take_slot(void) {
    pthread_mutex_lock(&lock);
    drain();
    bool for_nothing = inbox.precopying && inbox.phase != INBOX_ARMED;
    int slot = for_nothing ? -1 : staging_free_slot();
    if (slot >= 0) {
        staging_give((uint32_t)slot);
    }
    pthread_mutex_unlock(&lock);
    return slot;
}

void control_chunk(uint32_t slot, uint32_t count, uint32_t stored) {
    struct vmft_message message = {.type = VMFT_CHUNK, .arg = slot, .value = {count, stored}};
    pthread_mutex_lock(&lock);
    message.epoch = inbox.epoch;
    bool in_pause = inbox.phase == INBOX_PAUSED;
    pthread_mutex_unlock(&lock);
    if (in_pause) {
        add_news(&message);
    } else {
        send_message(&message);
    }
}

bool control_digests_asked(void) {
    /* No message changes it in a pause. */
    return inbox.digests_asked;
}

uint64_t control_clock_ahead(void) {
    pthread_mutex_lock(&lock);
    drain();
    uint64_t nanos = inbox.clock_ahead_nanos;
    pthread_mutex_unlock(&lock);
    return nanos;
}

void control_digests_done(uint64_t count) {
    send_message(&(struct vmft_message){.type = VMFT_DIGESTS, .epoch = inbox.epoch, .value = {count}});
}

void control_block(unsigned number, uint64_t bytes) {
    send_message(&(struct vmft_message){.type = VMFT_BLOCK, .arg = number, .value = {bytes}});
}

void control_read_here(bool here) {
    pthread_mutex_lock(&lock);
    read_here += here ? 1 : -1u;
    if (read_here == 0) {
        pthread_cond_signal(&reads_elsewhere_ended);
    }
    pthread_mutex_unlock(&lock);
}

bool control_voided(void) {
    pthread_mutex_lock(&lock);
    drain();
    bool voided = inbox.voided;
    pthread_mutex_unlock(&lock);
    return voided;
}

bool control_wait(uint64_t deadline_nanos) {
    control_tell_news();
    uint64_t now = sys_now_nanos();
    if (now >= deadline_nanos) {
        return false;
    }
    uint64_t left = deadline_nanos - now;
    struct timespec timeout = {.tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u)};
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    return sys_ppoll(&readable, 1, &timeout, NULL) != 0;
}

void control_pause_end(bool valid, const uint64_t values[VMFT_VALUES]) {
    struct vmft_message message = {.type = VMFT_HARVESTED, .arg = valid, .epoch = inbox.epoch};
    memcpy(message.value, values, sizeof message.value);
    pthread_mutex_lock(&lock);
    inbox.phase = valid ? INBOX_DONE : INBOX_IDLE;
    /* Before the line is open: who waits for it tells the news first. */
    add_news(&message);
    atomic_store(&line_is_open, valid);
    pthread_mutex_unlock(&lock);
}

bool control_line_is_open(void) {
    return atomic_load(&line_is_open);
}

/* A thread that slept is not there again as soon as the answer is: for so long it asks without sleeping. */
#define SPIN_NANOS 200000u

void control_await_line(void) {
    control_tell_news();
    pthread_mutex_lock(&waits_for_line);
    control_read_here(true);
    uint64_t spin_until = sys_now_nanos() + SPIN_NANOS;
    for (;;) {
        pthread_mutex_lock(&lock);
        drain();
        pthread_mutex_unlock(&lock);
        if (!control_line_is_open()) {
            break;
        }
        if (sys_now_nanos() >= spin_until) {
            struct pollfd readable[] = {{.fd = fd, .events = POLLIN}, {.fd = line_drawn, .events = POLLIN}};
            sys_poll(readable, 2, -1);
            /* What an earlier line has left there costs one more look. */
            eventfd_t count;
            eventfd_read(line_drawn, &count);
        }
    }
    control_read_here(false);
    pthread_mutex_unlock(&waits_for_line);
}

void control_live_done(uint64_t sequence, uint64_t dirty_pages) {
    pthread_mutex_lock(&lock);
    inbox.live_asked = false;
    pthread_mutex_unlock(&lock);
    send_message(&(struct vmft_message){.type = VMFT_LIVE, .epoch = sequence, .value = {dirty_pages}});
}
