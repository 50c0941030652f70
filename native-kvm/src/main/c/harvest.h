/* Which pages were written: by QEMU, from the page map; by KVM's vCPUs, from the dirty log; and those known before. */
#ifndef VMFT_HARVEST_H
#define VMFT_HARVEST_H

#include <stdint.h>

/* How many pages were found where; they may overlap. */
struct harvest_found {
    uint64_t in_pagemap;
    uint64_t in_dirty_log;
};

/* Adds the pages written since the last harvest to dirty, on the service thread, while the guest runs. Adds to found, too, if that is not NULL. */
void harvest_live(uint64_t *dirty, struct harvest_found *found);

/* The same in a pause, by a member of the crew, which shares the work of a large guest. */
void harvest_in_pause(unsigned member, uint64_t *dirty, struct harvest_found *found);

#endif
