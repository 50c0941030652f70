#define _GNU_SOURCE
#include "crew.h"

#include "sys.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

static unsigned size;

/* Guards what follows, but for the two atomics. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
/* Counts changes, so that one can be waited for without the lock. */
static atomic_uint changes;

static crew_task *job;
static uint32_t job_tasks;
static atomic_uint next_task;
static uint64_t jobs;
static bool job_open;
/* Members in the job beside the one that runs it. */
static unsigned inside;

static void (*leader)(unsigned member);
static enum { NOBODY, ASKED, LEADING } leading;

static void tell(void) {
    atomic_fetch_add(&changes, 1);
    pthread_cond_broadcast(&changed);
}

/* A thread that slept is not there again as soon as there is something to do: for so long a pause asks without sleeping. */
#define SPIN_NANOS 100000u

/* Waits for a change. The lock is held, and given up meanwhile. */
static void wait_awake(void) {
    unsigned seen = atomic_load(&changes);
    pthread_mutex_unlock(&lock);
    for (uint64_t until = sys_now_nanos() + SPIN_NANOS; atomic_load(&changes) == seen && sys_now_nanos() < until;) {
        __builtin_ia32_pause();
    }
    pthread_mutex_lock(&lock);
    if (atomic_load(&changes) == seen) {
        pthread_cond_wait(&changed, &lock);
    }
}

static void take_tasks(unsigned member, crew_task *task, uint32_t count) {
    for (uint32_t i; (i = atomic_fetch_add(&next_task, 1)) < count;) {
        task(member, i);
    }
}

/* Takes part in a job that this member has not been in; false if there is none. The lock is held, and given up meanwhile. */
static bool take_part(unsigned member, uint64_t *last_job) {
    if (!job_open || *last_job == jobs) {
        return false;
    }
    *last_job = jobs;
    inside++;
    crew_task *task = job;
    uint32_t count = job_tasks;
    pthread_mutex_unlock(&lock);
    take_tasks(member, task, count);
    pthread_mutex_lock(&lock);
    if (--inside == 0) {
        tell();
    }
    return true;
}

/* What the operator gave QEMU's main thread, the threads that it waits for get too. */
static void follow_priority(int *nice) {
    int now = getpriority(PRIO_PROCESS, (id_t)getpid());
    if (now != *nice && setpriority(PRIO_PROCESS, 0, now) == 0) {
        *nice = now;
    }
}

static void *serve(void *number) {
    unsigned member = (unsigned)(uintptr_t)number;
    uint64_t last_job = 0;
    int nice = getpriority(PRIO_PROCESS, 0);
    pthread_mutex_lock(&lock);
    for (;;) {
        if (leading == ASKED) {
            leading = LEADING;
            void (*lead)(unsigned) = leader;
            pthread_mutex_unlock(&lock);
            follow_priority(&nice);
            lead(member);
            pthread_mutex_lock(&lock);
            leading = NOBODY;
            tell();
        } else if (!take_part(member, &last_job)) {
            pthread_cond_wait(&changed, &lock);
        }
    }
    return NULL;
}

int crew_start(unsigned threads) {
    for (size = 0; size < threads; size++) {
        int error = sys_start_thread("vmft-crew", serve, (void *)(uintptr_t)(size + 1));
        if (error < 0) {
            return error;
        }
    }
    return 0;
}

int crew_size(const char *wanted) {
    if (wanted != NULL) {
        bool valid = wanted[0] >= '0' && wanted[0] <= '0' + (char)CREW_MAX_THREADS && wanted[1] == '\0';
        return valid ? wanted[0] - '0' : -EINVAL;
    }
    cpu_set_t processors;
    int count = sched_getaffinity(0, sizeof processors, &processors) == 0 ? CPU_COUNT(&processors) : 1;
    return count <= 1 ? 0 : count - 1 < (int)CREW_MAX_THREADS ? count - 1 : (int)CREW_MAX_THREADS;
}

void crew_run(unsigned member, crew_task *task, uint32_t count) {
    pthread_mutex_lock(&lock);
    job = task;
    job_tasks = count;
    atomic_store(&next_task, 0);
    jobs++;
    job_open = true;
    tell();
    pthread_mutex_unlock(&lock);
    take_tasks(member, task, count);
    pthread_mutex_lock(&lock);
    job_open = false;
    while (inside > 0) {
        wait_awake();
    }
    pthread_mutex_unlock(&lock);
}

void crew_ask(void (*lead)(unsigned member)) {
    if (size < 2) {
        return;
    }
    pthread_mutex_lock(&lock);
    leader = lead;
    leading = ASKED;
    tell();
    pthread_mutex_unlock(&lock);
}

void crew_join(void) {
    static uint64_t last_job;
    pthread_mutex_lock(&lock);
    while (leading == LEADING) {
        if (!take_part(0, &last_job)) {
            wait_awake();
        }
    }
    leading = NOBODY;
    pthread_mutex_unlock(&lock);
}
