/* Which pages were written: by QEMU, from the page map; by KVM's vCPUs, from the dirty log; and those known before. */
#ifndef VMFT_HARVEST_H
#define VMFT_HARVEST_H

#include <stdbool.h>
#include <stdint.h>

/* How many pages were found where; they may overlap. */
struct harvest_found {
    uint64_t in_pagemap;
    uint64_t in_dirty_log;
};

/*
 * Adds the pages written since they were protected last to dirty and protects them again, on the service thread, while the guest runs. Adds to
 * found, too, if that is not NULL.
 */
void harvest_live(uint64_t *dirty, struct harvest_found *found);

/*
 * The same in a pause, by a member of the crew, which shares the work of a large guest. Without protect, what QEMU wrote is found once more by
 * the next harvest: that takes a fraction of the time, because protecting costs a flush of translations for each 2 MiB with such a page.
 */
void harvest_in_pause(unsigned member, bool protect, uint64_t *dirty, struct harvest_found *found);

#endif
