/* Runs of pages into slots, zero pages without content. */
#include "check.h"
#include "copy.h"
#include "vmft.h"

#include <stdlib.h>
#include <string.h>

#define PAGES 9u

int main(void) {
    uint8_t *source = aligned_alloc(VMFT_PAGE_BYTES, PAGES * VMFT_PAGE_BYTES);
    uint8_t *pages = aligned_alloc(VMFT_PAGE_BYTES, 4 * VMFT_PAGE_BYTES);
    uint64_t indexes[4];
    CHECK(source != NULL && pages != NULL);
    memset(source, 0, PAGES * VMFT_PAGE_BYTES);
    /* A page is not zero because of any one of its bytes. */
    source[0] = 1;
    source[2 * VMFT_PAGE_BYTES + 4095] = 2;
    source[3 * VMFT_PAGE_BYTES + 1999] = 3;

    struct copy copy = copy_into(indexes, pages, 4);
    CHECK(copy_pages(&copy, 100, source, 3) == 3);
    CHECK(copy.count == 3 && copy.stored == 2);
    CHECK(copy_pages(&copy, 200, source + 3 * VMFT_PAGE_BYTES, 6) == 1);
    CHECK(copy.count == 4 && copy.stored == 3);
    CHECK(copy_pages(&copy, 300, source, 1) == 0);
    CHECK(indexes[0] == 100 && indexes[1] == (101 | VMFT_ZERO_PAGE) && indexes[2] == 102 && indexes[3] == 200);
    CHECK(memcmp(pages, source, VMFT_PAGE_BYTES) == 0);
    CHECK(memcmp(pages + VMFT_PAGE_BYTES, source + 2 * VMFT_PAGE_BYTES, 2 * VMFT_PAGE_BYTES) == 0);

    copy = copy_into(indexes, pages, 4);
    CHECK(copy_zeroes(&copy, 7, 3) == 3 && copy_zeroes(&copy, 20, 3) == 1);
    CHECK(copy.count == 4 && copy.stored == 0 && indexes[2] == (9 | VMFT_ZERO_PAGE));
    CHECK(indexes[3] == (20 | VMFT_ZERO_PAGE));

    for (unsigned byte = 0; byte < VMFT_PAGE_BYTES; byte++) {
        uint8_t *page = source + 5 * VMFT_PAGE_BYTES;
        page[byte] = 1;
        copy = copy_into(indexes, pages, 4);
        CHECK(copy_pages(&copy, 0, page, 1) == 1 && copy.stored == 1);
        page[byte] = 0;
    }
    free(source);
    free(pages);
    return 0;
}
