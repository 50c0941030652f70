/*
 * All memory the guest can see, in this process mapped twice: QEMU reads and writes it through its own view, KVM's vCPUs through the
 * library's. So protecting QEMU's view to find its writes does not disturb the guest.
 *
 * Block 0 is the guest's RAM file. The others are what QEMU allocates for itself: video memory, firmware, flash, option ROMs. It maps
 * them anonymously; the library maps parts of its blocks file in their place, which the engine sees too.
 */
#ifndef VMFT_RAM_H
#define VMFT_RAM_H

#include "pagemap.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define RAM_BLOCKS 128u

struct ram_block {
    /* QEMU's view; its start is NULL before QEMU has mapped the block and after it has unmapped it. */
    struct pagemap_view view;
    uint8_t *guest_view;
    uint64_t first_page;
    uint64_t pages;
};

struct ram {
    const char *path;
    uint64_t bytes;
    /* Serialises harvests and changes of KVM's slots, and guards what follows. */
    pthread_mutex_t lock;
    /* All pages of all blocks; from the first harvest on it stays. */
    uint64_t pages;
    struct ram_block blocks[RAM_BLOCKS];
    unsigned block_count;
    bool frozen;
    /* Pages known to be dirty that no harvest has to find: all at first, and those of void checkpoints. */
    uint64_t *pending;
};

extern struct ram ram;

/* Pages the bitmaps must have room for. */
uint64_t ram_capacity_pages(void);

/* Negative errno; *wrong says what failed. */
int ram_init(const char *path, uint64_t bytes, const char *blocks_path, uint64_t blocks_bytes, const char **wrong);

/* Whether fd is the guest's RAM file. */
bool ram_is_file(int fd);

/* QEMU has mapped the file at view: maps it a second time and begins to track QEMU's writes. Ends the process on failure. */
void ram_mapped(uint8_t *view, uint64_t bytes, int flags, int fd, int64_t offset);

/* QEMU maps memory at an address it has reserved, as it does for guest-visible memory only. */
bool ram_is_block(int prot, int flags);

/* Whether QEMU may add this to its machine: it may until that is frozen. Else errno is set, and the operator told. */
bool ram_may_grow(const char *what);

/* In place of such a mapping, if it is anonymous: what mmap returns, with errno. */
void *ram_map_block(uint8_t *address, uint64_t bytes, int prot);

/* QEMU has unmapped this. */
void ram_unmapped(uint8_t *address, uint64_t bytes);

/* Memory that is added from now on is refused: the backup's QEMU would not have it. Returns the pages of all blocks. */
uint64_t ram_freeze(void);

/* Whether address and the bytes after it lie in one of QEMU's views. Takes the lock. */
bool ram_contains(uint64_t address, uint64_t bytes);

/* The block in whose QEMU view this lies, and the page it begins on; or NULL. The caller holds the lock. */
const struct ram_block *ram_block_of(uint64_t address, uint64_t bytes, uint64_t *page);

/* Makes part of QEMU's views read as zeroes and counts it as dirty, in place of madvise. Negative errno. */
int ram_discard(uint64_t address, uint64_t bytes, int advice);

/*
 * How many of the run pages from this one on the guest has never touched: they are all zeroes, and reading them would give them memory.
 * 0 where that cannot be told.
 */
uint64_t ram_untouched(uint64_t page, uint64_t run);

/* Adds the pages that were touched to map. */
void ram_add_touched(uint64_t *map);

/* The content of page first in the library's view, and how many follow it in one piece. */
const uint8_t *ram_guest_page(uint64_t page, uint64_t *run);

#endif
