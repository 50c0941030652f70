/* The library's side of the staging file: slots it owns, and what is written to them. */
#ifndef VMFT_STAGING_H
#define VMFT_STAGING_H

#include "vmft.h"

#include <stdbool.h>

struct staging {
    struct vmft_staging_header header;
    uint8_t *base;
    /* Bit i: slot i is the library's. */
    uint64_t mine[VMFT_MAX_SLOTS / 64];
};

extern struct staging staging;

/* Maps the file and makes its pages present. On failure returns negative errno and sets *wrong. */
int staging_open(const char *path, const char **wrong);

/* NULL, or what is wrong with a header read from a file of file_bytes. */
const char *staging_check(const struct vmft_staging_header *header, uint64_t file_bytes);

/* All slots are the library's. */
void staging_reset(void);

/* A slot that is the library's, or -1. */
int staging_free_slot(void);

/* The slot is the engine's now. */
void staging_give(uint32_t slot);

/* The engine gave the slot back; false if it had not got it. */
bool staging_take_back(uint32_t slot);

uint64_t *staging_indexes(uint32_t slot);
uint8_t *staging_pages(uint32_t slot);
uint64_t *staging_bitmap(void);

#endif
