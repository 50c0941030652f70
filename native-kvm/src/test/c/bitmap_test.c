/* Every operation against a plain array of flags, over many random bitmaps. */
#include "bitmap.h"
#include "check.h"

#include <string.h>

#define PAGES 300u

static uint64_t state;

static unsigned draw(unsigned below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % below;
}

static void check_equal(const uint64_t *map, const unsigned char *flags, uint64_t pages) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < pages; i++) {
        CHECK((map[i / 64] >> (i % 64) & 1) == flags[i]);
        count += flags[i];
    }
    CHECK(bitmap_count(map, bitmap_words(pages)) == count);
    uint64_t first;
    uint64_t end = 0;
    uint64_t seen = 0;
    uint64_t i = 0;
    while (bitmap_next_run(map, pages, end, &first, &end)) {
        CHECK(first < end && end <= pages);
        for (; i < first; i++) {
            CHECK(flags[i] == 0);
        }
        for (; i < end; i++) {
            CHECK(flags[i] == 1);
            seen++;
        }
        CHECK(end == pages || flags[end] == 0);
    }
    CHECK(seen == count);
}

static void one_round(void) {
    uint64_t pages = 1 + draw(PAGES);
    unsigned char flags[PAGES] = {0};
    uint64_t *map = bitmap_new(pages);
    CHECK(map != NULL);
    for (int step = 0; step < 8; step++) {
        uint64_t first = draw((unsigned)pages + 1);
        uint64_t end = first + draw((unsigned)(pages - first) + 1);
        if (draw(2) == 0) {
            bitmap_set_range(map, first, end);
            memset(flags + first, 1, end - first);
        } else {
            uint64_t *source = bitmap_new(end - first);
            CHECK(source != NULL);
            for (uint64_t i = 0; i < end - first; i++) {
                if (draw(3) == 0) {
                    source[i / 64] |= 1ull << (i % 64);
                    flags[first + i] = 1;
                }
            }
            if ((end - first) % 64 != 0) {
                /* What lies beyond the last page is not looked at. */
                source[(end - first) / 64] |= ~0ull << ((end - first) % 64);
            }
            bitmap_or_at(map, first, source, end - first);
            free(source);
        }
        check_equal(map, flags, pages);
    }
    uint64_t *sum = bitmap_new(pages);
    CHECK(sum != NULL);
    bitmap_set_range(sum, pages / 2, pages);
    memset(flags + pages / 2, 1, pages - pages / 2);
    bitmap_or(sum, map, bitmap_words(pages));
    check_equal(sum, flags, pages);
    free(sum);
    free(map);
}

int main(void) {
    for (unsigned seed = 0; seed < 5000; seed++) {
        state = seed;
        one_round();
    }
    return 0;
}
