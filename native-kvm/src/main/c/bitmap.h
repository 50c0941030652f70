/* Bitmaps of pages: bit i % 64 of word i / 64 stands for page i; bits after the last page are clear. */
#ifndef VMFT_BITMAP_H
#define VMFT_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t bitmap_words(uint64_t pages) {
    return (size_t)((pages + 63) / 64);
}

/* NULL if memory runs out. All pages clear. */
uint64_t *bitmap_new(uint64_t pages);

/* Sets pages first to end - 1. Other threads may set other pages at the same time. */
void bitmap_set_range(uint64_t *map, uint64_t first, uint64_t end);

/* Clears pages first to end - 1. */
void bitmap_clear_range(uint64_t *map, uint64_t first, uint64_t end);

/* Sets page at + i for each bit i < pages that is set in source. */
void bitmap_or_at(uint64_t *map, uint64_t at, const uint64_t *source, uint64_t pages);

/* Adds source's pages to map. */
void bitmap_or(uint64_t *map, const uint64_t *source, size_t words);

uint64_t bitmap_count(const uint64_t *map, size_t words);

/* Finds the first run of set pages at or after from; false if there is none. */
bool bitmap_next_run(const uint64_t *map, uint64_t pages, uint64_t from, uint64_t *first, uint64_t *end);

#endif
