/* Every task of every job is done once, whoever leads; and a lead that nobody began is given up. */
#include "check.h"
#include "crew.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define TASKS 300u
#define ROUNDS 3000u

static unsigned done[TASKS];
static atomic_uint of_others;
/* Not atomic: what happened in a job is seen by who ran it. */
static unsigned sums[CREW_MEMBERS];
static unsigned leads;

static void task(unsigned member, uint32_t i) {
    CHECK(member < CREW_MEMBERS && i < TASKS);
    done[i]++;
    sums[member]++;
    if (member != 0) {
        atomic_fetch_add(&of_others, 1);
    }
    if (i % 64 == 0) {
        sched_yield();
    }
}

static void run(unsigned member, uint32_t count) {
    memset(done, 0, sizeof done);
    memset(sums, 0, sizeof sums);
    crew_run(member, task, count);
    unsigned sum = 0;
    for (unsigned i = 0; i < CREW_MEMBERS; i++) {
        sum += sums[i];
    }
    CHECK(sum == count);
    for (unsigned i = 0; i < TASKS; i++) {
        CHECK(done[i] == (i < count));
    }
}

static void lead(unsigned member) {
    CHECK(member > 0);
    leads++;
    run(member, TASKS);
    run(member, 1);
}

int main(void) {
    /* Alone. */
    run(0, TASKS);
    crew_ask(lead);
    crew_join();
    CHECK(leads == 0 && atomic_load(&of_others) == 0);

    CHECK(crew_size("0") == 0 && crew_size("3") == 3);
    CHECK(crew_size("4") < 0 && crew_size("") < 0 && crew_size("-1") < 0 && crew_size("11") < 0);
    CHECK(crew_size(NULL) >= 0 && crew_size(NULL) <= (int)CREW_MAX_THREADS && crew_start(CREW_MAX_THREADS) == 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        crew_ask(lead);
        for (unsigned i = 0; i < round % 16; i++) {
            sched_yield();
        }
        crew_join();
        run(0, round % TASKS);
        run(0, 0);
    }
    CHECK(leads > 0 && atomic_load(&of_others) > 0);
    return 0;
}
