/* What waits for a line goes on when it is drawn, whoever reads so from the socket. */
#define _GNU_SOURCE
#include "check.h"
#include "checkpoint.h"
#include "control.h"
#include "events.h"
#include "line.h"
#include "ram.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* What is not looked at here. */
void checkpoint_take_back(void) {
}

uint64_t ram_freeze(void) {
    return 0;
}

bool line_has_sent(void) {
    return true;
}

static sem_t silence;

bool events_tell(void) {
    sem_post(&silence);
    return true;
}

static void harvest_live(uint64_t sequence, bool touched) {
    (void)sequence;
    (void)touched;
}

static void precopy(void) {
}

static int engine;
static sem_t begin, ended;
static atomic_bool over;

static void tell(uint32_t type, uint64_t epoch) {
    struct vmft_message message = {.type = type, .epoch = epoch};
    CHECK(send(engine, &message, sizeof message, 0) == sizeof message);
}

static void expect(uint32_t type) {
    struct vmft_message message;
    CHECK(recv(engine, &message, sizeof message, MSG_WAITALL) == sizeof message);
    CHECK(message.type == type);
}

static void connect_to_engine(void) {
    char directory[] = "/tmp/vmft-control-test-XXXXXX";
    CHECK(mkdtemp(directory) != NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
    int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(listening, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listening, 1) == 0);
    CHECK(control_connect(address.sun_path) == 0);
    engine = accept(listening, NULL, NULL);
    CHECK(engine >= 0);
    close(listening);
    unlink(address.sun_path);
    rmdir(directory);
    CHECK(control_start((struct control_service){.harvest_live = harvest_live, .precopy = precopy}) == 0);
    expect(VMFT_HELLO);
}

static void *wait_for_lines(void *unused) {
    for (;;) {
        sem_wait(&begin);
        if (atomic_load(&over)) {
            return unused;
        }
        control_await_line();
        sem_post(&ended);
    }
}

/* As a vCPU's thread does that is about to set its clock. */
static void *read_all_the_time(void *unused) {
    while (!atomic_load(&over)) {
        control_clock_ahead();
    }
    return unused;
}

static void await(sem_t *semaphore) {
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 20;
    CHECK(sem_timedwait(semaphore, &limit) == 0);
}

static void silence_has_all_said_that_was_put_off(void) {
    await(&silence);
}

static void a_line_that_another_thread_sees_drawn_ends_the_wait(void) {
    static const long delays[] = {0, 150000, 300000, 450000};
    pthread_t waits, reads;
    CHECK(pthread_create(&waits, NULL, wait_for_lines, NULL) == 0);
    CHECK(pthread_create(&reads, NULL, read_all_the_time, NULL) == 0);
    for (uint64_t epoch = 1; epoch <= 1000; epoch++) {
        tell(VMFT_ARM, epoch);
        while (!control_armed()) {
        }
        control_pause_begin();
        control_pause_end(true, (uint64_t[VMFT_VALUES]){0});
        /* Else it is told all the same, if late. */
        if (epoch % 500 != 0) {
            control_tell_news();
        }
        expect(VMFT_HARVESTED);
        CHECK(control_line_is_open());
        sem_post(&begin);
        nanosleep(&(struct timespec){.tv_nsec = delays[epoch % 4]}, NULL);
        tell(epoch % 5 == 0 ? VMFT_VOID : VMFT_SEALED, epoch);
        await(&ended);
        CHECK(!control_line_is_open());
    }
    atomic_store(&over, true);
    sem_post(&begin);
    CHECK(pthread_join(waits, NULL) == 0);
    CHECK(pthread_join(reads, NULL) == 0);
}

int main(void) {
    sem_init(&begin, 0, 0);
    sem_init(&ended, 0, 0);
    sem_init(&silence, 0, 0);
    connect_to_engine();
    silence_has_all_said_that_was_put_off();
    a_line_that_another_thread_sees_drawn_ends_the_wait();
    return 0;
}
