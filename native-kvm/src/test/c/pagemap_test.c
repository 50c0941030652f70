/* The real kernel's tracking of writes to a shared mapping, by user space and by system calls. */
#define _GNU_SOURCE
#include "bitmap.h"
#include "check.h"
#include "pagemap.h"
#include "vmft.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 10000u
#define BYTES (PAGES * VMFT_PAGE_BYTES)

static struct pagemap_view tracked;

static int64_t harvest(uint64_t first_page, uint64_t *dirty) {
    pagemap_prepare(&tracked);
    return pagemap_harvest(&tracked, 0, BYTES, true, first_page, dirty);
}

int main(void) {
    const char *refused = NULL;
    int error = pagemap_open(&refused);
    if (error < 0) {
        fprintf(stderr, "pagemap_test: SKIPPED: %s (errno %d)\n", refused, -error);
        return 0;
    }
    int fd = memfd_create("ram", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, BYTES) == 0);
    uint8_t *view = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(view != MAP_FAILED);
    CHECK(pagemap_track(view, BYTES) == 0);
    uint64_t *dirty = bitmap_new(PAGES);
    CHECK(dirty != NULL);
    size_t size = bitmap_words(PAGES) * sizeof *dirty;

    tracked = (struct pagemap_view){.start = view, .bytes = BYTES};
    memset(view, 1, BYTES);
    CHECK(harvest(0, dirty) == PAGES);
    CHECK(bitmap_count(dirty, bitmap_words(PAGES)) == PAGES);
    CHECK(harvest(0, dirty) == 0);

    /* Reading is not writing; writing through another mapping is not this view's. */
    uint8_t *other = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(other != MAP_FAILED);
    other[7 * VMFT_PAGE_BYTES] = view[8 * VMFT_PAGE_BYTES];
    CHECK(harvest(0, dirty) == 0);

    memset(dirty, 0, size);
    view[3 * VMFT_PAGE_BYTES] = 2;
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    CHECK(read(zero, view + 9998 * VMFT_PAGE_BYTES, 2 * VMFT_PAGE_BYTES) == 2 * VMFT_PAGE_BYTES);
    CHECK(harvest(0, dirty) == 3);
    CHECK(bitmap_count(dirty, bitmap_words(PAGES)) == 3);
    CHECK(dirty[0] == 8 && dirty[156] == 3ull << 14);

    /* More runs than one call lists. */
    memset(dirty, 0, size);
    for (unsigned page = 0; page < PAGES; page += 2) {
        view[page * VMFT_PAGE_BYTES] = 3;
    }
    CHECK(harvest(0, dirty) == PAGES / 2);
    CHECK(harvest(0, dirty) == 0);

    /* A part of it. */
    memset(dirty, 0, size);
    view[3 * VMFT_PAGE_BYTES] = view[4 * VMFT_PAGE_BYTES] = view[8 * VMFT_PAGE_BYTES] = 4;
    CHECK(pagemap_harvest(&tracked, 4 * VMFT_PAGE_BYTES, 8 * VMFT_PAGE_BYTES, true, 0, dirty) == 1 && dirty[0] == 1 << 4);
    CHECK(harvest(0, dirty) == 2 && dirty[0] == (1 << 3 | 1 << 4 | 1 << 8));

    /* Found and left: found again, with what was written since. */
    memset(dirty, 0, size);
    view[6 * VMFT_PAGE_BYTES] = 4;
    CHECK(pagemap_harvest(&tracked, 0, BYTES, false, 0, dirty) == 1 && dirty[0] == 1 << 6);
    view[6 * VMFT_PAGE_BYTES] = view[9 * VMFT_PAGE_BYTES] = 5;
    memset(dirty, 0, size);
    CHECK(pagemap_harvest(&tracked, 0, BYTES, false, 0, dirty) == 2 && dirty[0] == (1 << 6 | 1 << 9));
    CHECK(harvest(0, dirty) == 2);
    CHECK(harvest(0, dirty) == 0);

    /* A page dropped from the mapping after it was written still counts. */
    memset(dirty, 0, size);
    view[5 * VMFT_PAGE_BYTES] = 4;
    CHECK(madvise(view + 5 * VMFT_PAGE_BYTES, VMFT_PAGE_BYTES, MADV_DONTNEED) == 0);
    CHECK(harvest(0, dirty) == 1);
    CHECK(dirty[0] == 1 << 5);

    /* Discarded for good, so a hole of the file too. */
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 100 * VMFT_PAGE_BYTES) == 0);
    pagemap_expect_holes();
    view[200 * VMFT_PAGE_BYTES] = 5;
    view[50 * VMFT_PAGE_BYTES] = 5;
    memset(dirty, 0, size);
    int64_t found = harvest(0, dirty);
    if (found != 2) {
        /* Not allowed to lock memory: the other way stays in use, and counts the holes. */
        CHECK(found == 101 && geteuid() != 0);
    }
    CHECK((dirty[0] >> 50 & 1) == 1 && (dirty[3] >> 8 & 1) == 1);
    CHECK(harvest(0, dirty) == 0);

    /* The view's first page may stand anywhere in the bitmap. */
    uint64_t *among_others = bitmap_new(PAGES + 70);
    view[3 * VMFT_PAGE_BYTES] = 6;
    CHECK(harvest(70, among_others) == 1);
    CHECK(among_others[1] == 1 << 9 && bitmap_count(among_others, bitmap_words(PAGES + 70)) == 1);
    free(among_others);
    free(dirty);
    return 0;
}
