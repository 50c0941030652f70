/* Pages into a staging slot: each gets an index, and those that are not all zeroes their content. No input or output. */
#ifndef VMFT_COPY_H
#define VMFT_COPY_H

#include <stdint.h>

/* A slot that is being filled. */
struct copy {
    uint64_t *indexes;
    uint8_t *pages;
    uint32_t capacity;
    /* Indexes written, and pages. */
    uint32_t count;
    uint32_t stored;
};

/* An empty slot with room for capacity pages. */
struct copy copy_into(uint64_t *indexes, uint8_t *pages, uint32_t capacity);

/* Says of as many of run pages as there is room for that they are all zeroes; returns their number. */
uint64_t copy_zeroes(struct copy *copy, uint64_t first, uint64_t run);

/* Copies as many of the run pages at source, the first of which is number first, as there is room for; returns their number. */
uint64_t copy_pages(struct copy *copy, uint64_t first, const uint8_t *source, uint64_t run);

#endif
