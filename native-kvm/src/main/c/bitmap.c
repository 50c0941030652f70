#include "bitmap.h"

#include <stdlib.h>

uint64_t *bitmap_new(uint64_t pages) {
    /* One word more, so that bitmap_or_at may write the (empty) upper half of a last word that straddles. */
    return calloc(bitmap_words(pages) + 1, sizeof(uint64_t));
}

void bitmap_set_range(uint64_t *map, uint64_t first, uint64_t end) {
    if (first >= end) {
        return;
    }
    uint64_t head = ~0ull << (first % 64);
    uint64_t tail = ~0ull >> (63 - (end - 1) % 64);
    size_t i = first / 64;
    size_t last = (end - 1) / 64;
    if (i == last) {
        __atomic_fetch_or(&map[i], head & tail, __ATOMIC_RELAXED);
        return;
    }
    __atomic_fetch_or(&map[i], head, __ATOMIC_RELAXED);
    while (++i < last) {
        map[i] = ~0ull;
    }
    __atomic_fetch_or(&map[last], tail, __ATOMIC_RELAXED);
}

void bitmap_clear_range(uint64_t *map, uint64_t first, uint64_t end) {
    while (first < end) {
        uint64_t from = first % 64;
        uint64_t count = end - first < 64 - from ? end - first : 64 - from;
        map[first / 64] &= ~(~0ull >> (64 - count) << from);
        first += count;
    }
}

void bitmap_or_at(uint64_t *map, uint64_t at, const uint64_t *source, uint64_t pages) {
    unsigned shift = at % 64;
    uint64_t *out = map + at / 64;
    size_t words = bitmap_words(pages);
    for (size_t i = 0; i < words; i++) {
        uint64_t word = source[i];
        if (i == words - 1 && pages % 64 != 0) {
            word &= (1ull << (pages % 64)) - 1;
        }
        if (word == 0) {
            continue;
        }
        out[i] |= word << shift;
        if (shift != 0) {
            out[i + 1] |= word >> (64 - shift);
        }
    }
}

void bitmap_or(uint64_t *map, const uint64_t *source, size_t words) {
    for (size_t i = 0; i < words; i++) {
        map[i] |= source[i];
    }
}

uint64_t bitmap_count(const uint64_t *map, size_t words) {
    uint64_t count = 0;
    for (size_t i = 0; i < words; i++) {
        count += (uint64_t)__builtin_popcountll(map[i]);
    }
    return count;
}

/* The first page at or after from whose bit, xor flip, is set; pages if there is none. */
static uint64_t next(const uint64_t *map, uint64_t pages, uint64_t from, uint64_t flip) {
    if (from >= pages) {
        return pages;
    }
    size_t words = bitmap_words(pages);
    size_t i = from / 64;
    uint64_t word = (map[i] ^ flip) & (~0ull << (from % 64));
    while (word == 0) {
        if (++i == words) {
            return pages;
        }
        word = map[i] ^ flip;
    }
    uint64_t page = (uint64_t)i * 64 + (unsigned)__builtin_ctzll(word);
    return page < pages ? page : pages;
}

bool bitmap_next_run(const uint64_t *map, uint64_t pages, uint64_t from, uint64_t *first, uint64_t *end) {
    *first = next(map, pages, from, 0);
    if (*first == pages) {
        return false;
    }
    *end = next(map, pages, *first, ~0ull);
    return true;
}
