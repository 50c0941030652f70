#define _GNU_SOURCE
#include "checkpoint.h"

#include "bitmap.h"
#include "control.h"
#include "copy.h"
#include "digest.h"
#include "kvmlog.h"
#include "pagemap.h"
#include "ram.h"
#include "staging.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *state_file;
/* -1 outside a pause. */
static atomic_int state_fd = -1;

/* Of QEMU's main thread, from here on, but for harvested, which ram.lock guards. */
static uint64_t opened_at;
static uint64_t deadline_nanos;
/* What the last pause found, until the next. */
static uint64_t *harvested;
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
    live = bitmap_new(ram_capacity_pages());
    return harvested != NULL && live != NULL;
}

bool checkpoint_begins(const char *path, int flags) {
    return (flags & O_ACCMODE) != O_RDONLY && strcmp(path, state_file) == 0 && atomic_load(&state_fd) < 0
        && control_armed();
}

void checkpoint_opened(int fd) {
    if (ram.blocks[0].view.start == NULL) {
        control_die(ENOENT,
            "QEMU has not mapped %s; give it -object memory-backend-file,share=on,mem-path=... as its machine's "
            "memory-backend",
            ram.path);
    }
    opened_at = sys_now_nanos();
    deadline_nanos = opened_at + staging.header.pause_timeout_nanos;
    atomic_store(&state_fd, fd);
    control_pause_begin();
}

bool checkpoint_is_state(int fd) {
    return fd >= 0 && fd == atomic_load(&state_fd);
}

/* Moves the pages dirtied since the last harvest to dirty. */
static uint64_t harvest(uint64_t *dirty, uint64_t *from_pagemap, uint64_t *from_dirty_log) {
    size_t words = bitmap_words(ram_freeze());
    pthread_mutex_lock(&ram.lock);
    memcpy(dirty, ram.pending, words * sizeof *dirty);
    memset(ram.pending, 0, words * sizeof *dirty);
    int64_t by_qemu = 0;
    for (struct ram_block *block = ram.blocks; block < ram.blocks + ram.block_count; block++) {
        if (block->view.start == NULL) {
            continue;
        }
        int64_t found = pagemap_harvest(&block->view, block->first_page, dirty);
        if (found < 0) {
            control_die((int)-found, "PAGEMAP_SCAN of guest memory failed");
        }
        by_qemu += found;
    }
    int64_t by_guest = kvmlog_harvest(dirty);
    if (by_guest < 0) {
        control_die((int)-by_guest, "KVM_GET_DIRTY_LOG of guest memory failed");
    }
    pthread_mutex_unlock(&ram.lock);
    *from_pagemap = (uint64_t)by_qemu;
    *from_dirty_log = (uint64_t)by_guest;
    return bitmap_count(dirty, words);
}

/*
 * A slot that is free within the pause timeout, while the checkpoint is not void; or -1. Each slot has that time for itself: an engine
 * that gives slots back slowly makes the pause long, and only one that gives none back makes the checkpoint void.
 */
static int wait_for_slot(uint64_t *waited_nanos) {
    if (control_verdict() == CONTROL_VOID) {
        return -1;
    }
    int slot = staging_free_slot();
    if (slot >= 0) {
        return slot;
    }
    uint64_t start = sys_now_nanos();
    uint64_t deadline = start + staging.header.pause_timeout_nanos;
    while (slot < 0 && control_wait(deadline) && control_verdict() != CONTROL_VOID) {
        slot = staging_free_slot();
    }
    *waited_nanos += sys_now_nanos() - start;
    return slot;
}

/* Whole stretches are dirty in the first harvest only; it is then worth asking whether the guest ever touched them. */
#define LONG_RUN 256u

/* Copies the harvested pages to slots and hands these over; false if the checkpoint is void. */
static bool copy_out(uint64_t *waited_nanos) {
    int slot = -1;
    struct copy copy = {0};
    uint64_t first;
    uint64_t end = 0;
    while (bitmap_next_run(harvested, ram.pages, end, &first, &end)) {
        while (first < end) {
            if (slot < 0) {
                slot = wait_for_slot(waited_nanos);
                if (slot < 0) {
                    return false;
                }
                copy = copy_into(staging_indexes((uint32_t)slot), staging_pages((uint32_t)slot),
                    staging.header.pages_per_slot);
            }
            /* From the guest's view: reading QEMU's would populate it and make pages look written. */
            uint64_t run = end - first;
            uint64_t untouched = run < LONG_RUN ? 0 : ram_untouched(first, run);
            if (untouched > 0) {
                first += copy_zeroes(&copy, first, untouched);
            } else {
                uint64_t in_one_piece;
                const uint8_t *source = ram_guest_page(first, &in_one_piece);
                run = run < LONG_RUN ? run : LONG_RUN;
                first += copy_pages(&copy, first, source, run < in_one_piece ? run : in_one_piece);
            }
            if (copy.count == copy.capacity) {
                control_chunk((uint32_t)slot, copy.count, copy.stored);
                slot = -1;
            }
        }
    }
    if (slot >= 0) {
        control_chunk((uint32_t)slot, copy.count, copy.stored);
    }
    return true;
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

/* A thread that slept is not there again as soon as the answer is: for so long it asks without sleeping. */
#define SPIN_NANOS 200000u

static bool wait_for_seal(void) {
    uint64_t spin_until = sys_now_nanos() + SPIN_NANOS;
    enum control_verdict verdict;
    while ((verdict = control_verdict()) == CONTROL_OPEN) {
        if (sys_now_nanos() >= spin_until && !control_wait(deadline_nanos)) {
            return false;
        }
    }
    return verdict == CONTROL_SEALED;
}

void checkpoint_closed(void) {
    atomic_store(&state_fd, -1);
    control_read_here(true);
    uint64_t report[VMFT_VALUES] = {[VMFT_OPENED_AT] = opened_at, [VMFT_CLOSED_AT] = sys_now_nanos()};
    report[VMFT_DIRTY_PAGES] = harvest(harvested, &report[VMFT_FROM_PAGEMAP], &report[VMFT_FROM_DIRTY_LOG]);
    report[VMFT_FOUND_AT] = sys_now_nanos();
    bool valid = copy_out(&report[VMFT_SLOT_WAIT]);
    if (valid && control_digests_asked()) {
        digest_all();
    }
    report[VMFT_COPIED_AT] = sys_now_nanos();
    valid = valid && wait_for_seal();
    uint64_t end = sys_now_nanos();
    report[VMFT_ENDED_AT] = end;
    if (!valid) {
        checkpoint_take_back();
    }
    if (stopped_by_pause) {
        stopped_by_pause = false;
        keep_clock_thread = gettid();
        keep_clock_until_nanos = end + RESUME_NANOS;
    }
    control_pause_end(valid, report);
    control_read_here(false);
}

void checkpoint_take_back(void) {
    pthread_mutex_lock(&ram.lock);
    bitmap_or(ram.pending, harvested, bitmap_words(ram.pages));
    pthread_mutex_unlock(&ram.lock);
}

void checkpoint_harvest_live(uint64_t sequence, bool touched) {
    uint64_t from_pagemap;
    uint64_t from_dirty_log;
    uint64_t pages = harvest(live, &from_pagemap, &from_dirty_log);
    if (touched) {
        memset(live, 0, bitmap_words(ram.pages) * sizeof *live);
        ram_add_touched(live);
        pages = bitmap_count(live, bitmap_words(ram.pages));
    }
    memcpy(staging_bitmap(), live, bitmap_words(ram.pages) * sizeof *live);
    control_live_done(sequence, pages);
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
