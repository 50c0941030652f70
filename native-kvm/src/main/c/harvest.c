#include "harvest.h"

#include "bitmap.h"
#include "control.h"
#include "crew.h"
#include "kvmlog.h"
#include "pagemap.h"
#include "ram.h"
#include "vmft.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

/* What one task looks through; whole words of a bitmap, and small enough that a guest of a few GiB keeps every member busy. */
#define CHUNK_BYTES (64ull << 20)
/* Fewer chunks are looked through sooner than another thread wakes up. */
#define CHUNKS_TO_SHARE 8u

/* Of the harvest under way; ram.lock is held. */
static uint64_t *target;
static bool protect_found;
static atomic_llong found_in_pagemap;

static int64_t checked(int64_t found, const char *what) {
    if (found < 0) {
        control_die((int)-found, "%s of guest memory failed", what);
    }
    return found;
}

static void scan(struct ram_block *block, uint64_t from, uint64_t end) {
    int64_t found = pagemap_harvest(&block->view, from, end, protect_found, block->first_page, target);
    atomic_fetch_add(&found_in_pagemap, checked(found, "PAGEMAP_SCAN"));
}

static void scan_chunk(unsigned member, uint32_t task) {
    (void)member;
    struct ram_block *block = &ram.blocks[0];
    uint64_t from = task * CHUNK_BYTES;
    uint64_t end = from + CHUNK_BYTES;
    scan(block, from, end < block->view.bytes ? end : block->view.bytes);
}

static void scan_all(bool shared, unsigned member) {
    for (struct ram_block *block = ram.blocks; block < ram.blocks + ram.block_count; block++) {
        if (block->view.start == NULL) {
            continue;
        }
        pagemap_prepare(&block->view);
        uint64_t chunks = (block->view.bytes + CHUNK_BYTES - 1) / CHUNK_BYTES;
        if (shared && block == ram.blocks && chunks >= CHUNKS_TO_SHARE) {
            crew_run(member, scan_chunk, (uint32_t)chunks);
        } else {
            scan(block, 0, block->view.bytes);
        }
    }
}

static void harvest(bool shared, unsigned member, bool protect, uint64_t *dirty, struct harvest_found *found) {
    size_t words = bitmap_words(ram_freeze());
    pthread_mutex_lock(&ram.lock);
    bitmap_or(dirty, ram.pending, words);
    memset(ram.pending, 0, words * sizeof *dirty);
    target = dirty;
    protect_found = protect;
    atomic_store(&found_in_pagemap, 0);
    scan_all(shared, member);
    uint64_t logged = (uint64_t)checked(kvmlog_harvest(dirty), "KVM_GET_DIRTY_LOG");
    if (found != NULL) {
        found->in_pagemap += (uint64_t)atomic_load(&found_in_pagemap);
        found->in_dirty_log += logged;
    }
    pthread_mutex_unlock(&ram.lock);
}

void harvest_live(uint64_t *dirty, struct harvest_found *found) {
    harvest(false, 0, true, dirty, found);
}

void harvest_in_pause(unsigned member, bool protect, uint64_t *dirty, struct harvest_found *found) {
    harvest(true, member, protect, dirty, found);
}
