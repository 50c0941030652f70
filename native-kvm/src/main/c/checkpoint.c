#define _GNU_SOURCE
#include "checkpoint.h"

#include "bitmap.h"
#include "control.h"
#include "copyout.h"
#include "crew.h"
#include "digest.h"
#include "events.h"
#include "harvest.h"
#include "ram.h"
#include "staging.h"
#include "sys.h"
#include "vmft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *state_file;
/* -1 outside a pause. */
static atomic_int state_fd = -1;

/* Of QEMU's main thread, from here on; between crew_ask and crew_join of the thread that leads. */
static uint64_t opened_at;
/* What was found for the epoch that is armed, in its pause or ended last. ram.lock guards it when nobody finds any. */
static uint64_t *harvested;
/* What of it is not copied yet. The service thread's in a pre-copy, then the main thread's. */
static uint64_t *todo;
static struct harvest_found found;
static uint64_t precopied_pages;
/* The service thread's. */
static uint64_t *live;

/* The VM was stopped while an epoch was armed: the stop is the epoch's. */
static bool stopped_by_pause;
/* QEMU starts the VM in the call that closed the state file, on the same thread; not later than this. */
static uint64_t keep_clock_until_nanos;
static pid_t keep_clock_thread;
#define RESUME_NANOS 1000000000u

bool checkpoint_init(const char *path) {
    state_file = path;
    harvested = bitmap_new(ram_capacity_pages());
    todo = bitmap_new(ram_capacity_pages());
    live = bitmap_new(ram_capacity_pages());
    return harvested != NULL && todo != NULL && live != NULL;
}

bool checkpoint_saves_state(const char *path, int flags) {
    return (flags & O_ACCMODE) != O_RDONLY && strcmp(path, VMFT_STATE_NAME) == 0;
}

const char *checkpoint_state_file(void) {
    return state_file;
}

bool checkpoint_begins(void) {
    return atomic_load(&state_fd) < 0 && control_armed();
}

/* An epoch begins to have pages. */
static void begin(void) {
    if (ram.blocks[0].view.start == NULL) {
        control_die(ENOENT,
            "QEMU has not mapped %s; give it -object memory-backend-file,share=on,mem-path=... as its machine's "
            "memory-backend",
            ram.path);
    }
    size_t bytes = bitmap_words(ram_freeze()) * sizeof *todo;
    memset(todo, 0, bytes);
    memset(harvested, 0, bytes);
    found = (struct harvest_found){0};
    precopied_pages = 0;
}

/*
 * QEMU's main thread writes the state, another one finds and copies what is dirty: all but what saving the state may still write, which
 * the harvest at the end finds.
 */
static void copy_early(unsigned member) {
    harvest_in_pause(member, true, todo, &found);
    bitmap_or(harvested, todo, bitmap_words(ram.pages));
    copyout_run(member, todo);
}

void checkpoint_opened(int fd) {
    opened_at = sys_now_nanos();
    atomic_store(&state_fd, fd);
    if (!control_pause_begin()) {
        begin();
    }
    crew_ask(copy_early);
}

bool checkpoint_is_state(int fd) {
    return fd >= 0 && fd == atomic_load(&state_fd);
}

/* From here on the main thread works alone, but for the jobs it runs. */
static void end_early(void) {
    crew_join();
    /* A page that is copied again must come later. */
    copyout_hand_over();
}

/* The VM stands still and all is copied: what memory holds now is what the copies must add up to. */
static void digest_all(void) {
    uint32_t *digests = (uint32_t *)staging_bitmap();
    uint64_t count = 0;
    for (uint64_t page = 0; page < ram.pages; count++) {
        uint64_t end = page + VMFT_DIGEST_PAGES < ram.pages ? page + VMFT_DIGEST_PAGES : ram.pages;
        uint32_t digest = 0;
        while (page < end) {
            static const uint8_t zeroes[VMFT_PAGE_BYTES];
            uint64_t run = 1;
            const uint8_t *from = ram_untouched(page, 1) == 1 ? zeroes : ram_guest_page(page, &run);
            run = from == zeroes || page + run > end ? 1 : run;
            digest = digest_add(digest, from, run * VMFT_PAGE_BYTES);
            page += run;
        }
        digests[count] = digest;
    }
    control_digests_done(count);
}

/* Fewer pages are copied sooner than another thread wakes up. */
#define PAGES_TO_SHARE 256u

void checkpoint_closed(void) {
    atomic_store(&state_fd, -1);
    control_read_here(true);
    uint64_t report[VMFT_VALUES] = {[VMFT_OPENED_AT] = opened_at, [VMFT_CLOSED_AT] = sys_now_nanos()};
    end_early();
    /* Where there are pre-copies the next one protects what is found here, while the guest runs: it looks for all that anyway. */
    harvest_in_pause(0, precopied_pages == 0, todo, &found);
    bitmap_or(harvested, todo, bitmap_words(ram.pages));
    report[VMFT_FROM_PAGEMAP] = found.in_pagemap;
    report[VMFT_FROM_DIRTY_LOG] = found.in_dirty_log;
    report[VMFT_FOUND_AT] = sys_now_nanos();
    if (bitmap_count(todo, bitmap_words(ram.pages)) > PAGES_TO_SHARE) {
        copyout_run(0, todo);
        copyout_hand_over();
    }
    bool valid = copyout_rest(todo, &report[VMFT_SLOT_WAIT]);
    copyout_hand_over();
    uint64_t handed_over = precopied_pages + copyout_pages();
    report[VMFT_BEFORE_PAUSE] = precopied_pages;
    report[VMFT_DIRTY_PAGES] = valid ? handed_over : bitmap_count(harvested, bitmap_words(ram.pages));
    if (valid && control_digests_asked()) {
        digest_all();
    }
    uint64_t end = sys_now_nanos();
    report[VMFT_COPIED_AT] = end;
    valid = valid && !control_voided();
    if (!valid) {
        checkpoint_take_back();
    }
    if (stopped_by_pause) {
        stopped_by_pause = false;
        keep_clock_thread = gettid();
        keep_clock_until_nanos = end + RESUME_NANOS;
    }
    control_pause_end(valid, report);
    events_pause_ended();
    control_read_here(false);
}

void checkpoint_take_back(void) {
    pthread_mutex_lock(&ram.lock);
    bitmap_or(ram.pending, harvested, bitmap_words(ram.pages));
    pthread_mutex_unlock(&ram.lock);
}

void checkpoint_precopy(void) {
    begin();
    harvest_live(todo, &found);
    bitmap_or(harvested, todo, bitmap_words(ram.pages));
    copyout_precopy(todo);
    /* What is copied again in the pause must come later. */
    copyout_hand_over();
    precopied_pages = copyout_pages();
}

void checkpoint_harvest_live(uint64_t sequence, bool touched) {
    size_t words = bitmap_words(ram_freeze());
    memset(live, 0, words * sizeof *live);
    harvest_live(live, NULL);
    if (touched) {
        memset(live, 0, words * sizeof *live);
        ram_add_touched(live);
    }
    memcpy(staging_bitmap(), live, words * sizeof *live);
    control_live_done(sequence, bitmap_count(live, words));
}

void checkpoint_clock_read(void) {
    /* Once when the VM stops, and in some run states once more when the clock's state is saved. */
    if (atomic_load(&state_fd) < 0) {
        stopped_by_pause = control_armed();
    }
}

bool checkpoint_keeps_clock(void) {
    bool keep = keep_clock_until_nanos != 0 && keep_clock_thread == gettid()
        && sys_now_nanos() < keep_clock_until_nanos;
    keep_clock_until_nanos = 0;
    return keep;
}
