#include "copyout.h"

#include "bitmap.h"
#include "control.h"
#include "copy.h"
#include "crew.h"
#include "ram.h"
#include "staging.h"
#include "sys.h"

/* Whole stretches are dirty in the first harvest only; it is then worth asking whether the guest ever touched them. */
#define LONG_RUN 256u
/* A task's pages, whole words of the bitmap: enough to be worth taking, few enough that every member gets some. */
#define TASK_PAGES 512u
#define TASKS 128u

/* One a member. */
static struct filling {
    int slot;
    struct copy copy;
    /* Handed over in this pause. */
    uint64_t pages;
} fillings[CREW_MEMBERS] = {{.slot = -1}, {.slot = -1}, {.slot = -1}, {.slot = -1}};
static_assert(CREW_MEMBERS == 4, "each has no slot at first");

/* Of the job under way. */
static uint64_t *pages_todo;
static uint64_t pages_a_task;

static bool has_room(struct filling *filling) {
    if (filling->slot >= 0) {
        return true;
    }
    filling->slot = control_take_slot();
    if (filling->slot < 0) {
        return false;
    }
    uint32_t slot = (uint32_t)filling->slot;
    filling->copy = copy_into(staging_indexes(slot), staging_pages(slot), staging.header.pages_per_slot);
    return true;
}

static void hand_over(struct filling *filling) {
    filling->pages += filling->copy.count;
    control_chunk((uint32_t)filling->slot, filling->copy.count, filling->copy.stored);
    filling->slot = -1;
}

/* As many of the run pages from first on as the slot has room for and lie in one piece. */
static uint64_t copy_some(struct copy *copy, uint64_t first, uint64_t run) {
    /* From the guest's view: reading QEMU's would populate it and make pages look written. */
    uint64_t untouched = run < LONG_RUN ? 0 : ram_untouched(first, run);
    if (untouched > 0) {
        return copy_zeroes(copy, first, untouched);
    }
    uint64_t in_one_piece;
    const uint8_t *source = ram_guest_page(first, &in_one_piece);
    run = run < LONG_RUN ? run : LONG_RUN;
    return copy_pages(copy, first, source, run < in_one_piece ? run : in_one_piece);
}

/* Copies the pages of todo from from on and before end, until there is no slot, and takes them out; returns the first that is left. */
static uint64_t copy_range(struct filling *filling, uint64_t *todo, uint64_t from, uint64_t end) {
    uint64_t first;
    uint64_t run_end = from;
    while (bitmap_next_run(todo, end, run_end, &first, &run_end)) {
        while (first < run_end) {
            if (!has_room(filling)) {
                return first;
            }
            uint64_t copied = copy_some(&filling->copy, first, run_end - first);
            bitmap_clear_range(todo, first, first + copied);
            first += copied;
            if (filling->copy.count == filling->copy.capacity) {
                hand_over(filling);
            }
        }
    }
    return end;
}

static void copy_task(unsigned member, uint32_t task) {
    uint64_t from = task * pages_a_task;
    uint64_t end = from + pages_a_task;
    copy_range(&fillings[member], pages_todo, from, end < ram.pages ? end : ram.pages);
}

void copyout_run(unsigned member, uint64_t *todo) {
    if (control_voided()) {
        return;
    }
    uint64_t share = (ram.pages / TASKS + 63) / 64 * 64;
    pages_todo = todo;
    pages_a_task = share > TASK_PAGES ? share : TASK_PAGES;
    crew_run(member, copy_task, (uint32_t)((ram.pages + pages_a_task - 1) / pages_a_task));
}

void copyout_precopy(uint64_t *todo) {
    uint64_t room = (uint64_t)staging.header.slots * staging.header.pages_per_slot / 2;
    uint64_t first;
    uint64_t end = 0;
    while (room > 0 && bitmap_next_run(todo, ram.pages, end, &first, &end)) {
        end = end - first < room ? end : first + room;
        room -= end - first;
        if (copy_range(&fillings[0], todo, first, end) < end) {
            return;
        }
    }
}

/*
 * Waits for a slot until the pause timeout, while the checkpoint is not void. Each slot has that time for itself: an engine
 * that gives slots back slowly makes the pause long, and only one that gives none back makes the checkpoint void.
 */
static bool wait_for_slot(struct filling *filling, uint64_t *waited_nanos) {
    uint64_t start = sys_now_nanos();
    uint64_t deadline = start + staging.header.pause_timeout_nanos;
    bool room = false;
    while (!control_voided() && !(room = has_room(filling)) && control_wait(deadline)) {
    }
    *waited_nanos += sys_now_nanos() - start;
    return room;
}

bool copyout_rest(uint64_t *todo, uint64_t *waited_nanos) {
    if (control_voided()) {
        return false;
    }
    for (uint64_t at = 0; (at = copy_range(&fillings[0], todo, at, ram.pages)) < ram.pages;) {
        if (!wait_for_slot(&fillings[0], waited_nanos)) {
            return false;
        }
    }
    return true;
}

void copyout_hand_over(void) {
    for (struct filling *filling = fillings; filling < fillings + CREW_MEMBERS; filling++) {
        if (filling->slot >= 0) {
            hand_over(filling);
        }
    }
}

uint64_t copyout_pages(void) {
    uint64_t pages = 0;
    for (struct filling *filling = fillings; filling < fillings + CREW_MEMBERS; filling++) {
        pages += filling->pages;
        filling->pages = 0;
    }
    return pages;
}
