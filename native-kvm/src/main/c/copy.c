#include "copy.h"

#include "vmft.h"

#include <stdbool.h>
#include <string.h>

typedef uint64_t words __attribute__((vector_size(32)));

/* A page that is not zero mostly shows it in its first cache line, which the copy needs next. */
static bool is_zero(const uint8_t *page) {
    for (const uint8_t *at = page; at < page + VMFT_PAGE_BYTES; at += 2 * sizeof(words)) {
        words w[2];
        memcpy(w, at, sizeof w);
        w[0] |= w[1];
        if ((w[0][0] | w[0][1] | w[0][2] | w[0][3]) != 0) {
            return false;
        }
    }
    return true;
}

struct copy copy_into(uint64_t *indexes, uint8_t *pages, uint32_t capacity) {
    return (struct copy){.indexes = indexes, .pages = pages, .capacity = capacity};
}

uint64_t copy_zeroes(struct copy *copy, uint64_t first, uint64_t run) {
    uint64_t done = 0;
    for (; done < run && copy->count < copy->capacity; done++) {
        copy->indexes[copy->count++] = (first + done) | VMFT_ZERO_PAGE;
    }
    return done;
}

uint64_t copy_pages(struct copy *copy, uint64_t first, const uint8_t *source, uint64_t run) {
    uint64_t done = 0;
    for (; done < run && copy->count < copy->capacity; done++) {
        const uint8_t *page = source + done * VMFT_PAGE_BYTES;
        if (is_zero(page)) {
            copy->indexes[copy->count++] = (first + done) | VMFT_ZERO_PAGE;
            continue;
        }
        copy->indexes[copy->count++] = first + done;
        memcpy(copy->pages + (uint64_t)copy->stored++ * VMFT_PAGE_BYTES, page, VMFT_PAGE_BYTES);
    }
    return done;
}
