/* Memory that QEMU maps for itself becomes part of the blocks file, against the real kernel. */
#define _GNU_SOURCE
#include "bitmap.h"
#include "check.h"
#include "control.h"
#include "ram.h"
#include "vmft.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_PAGES 100u
#define ROOM_PAGES 20u

static jmp_buf died;
static unsigned reported;
static uint64_t reported_bytes;

void control_die(int error, const char *format, ...) {
    (void)error;
    (void)format;
    longjmp(died, 1);
}

void control_block(unsigned number, uint64_t bytes) {
    reported = number;
    reported_bytes = bytes;
}

/* As QEMU does: reserves, then maps. */
static uint8_t *reserve(uint64_t pages) {
    uint8_t *address = mmap(NULL, pages * VMFT_PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(address != MAP_FAILED);
    return address;
}

static uint64_t harvest(uint64_t *dirty) {
    memset(dirty, 0, bitmap_words(ram_capacity_pages()) * sizeof *dirty);
    int64_t found = 0;
    for (unsigned i = 0; i < ram.block_count; i++) {
        if (ram.blocks[i].view.start != NULL) {
            int64_t of_block = pagemap_harvest(
                &ram.blocks[i].view, 0, ram.blocks[i].view.bytes, true, ram.blocks[i].first_page, dirty);
            CHECK(of_block >= 0);
            found += of_block;
        }
    }
    return (uint64_t)found;
}

int main(void) {
    const char *wrong = NULL;
    if (pagemap_open(&wrong) < 0) {
        fprintf(stderr, "ram_test: SKIPPED: %s\n", wrong);
        return 0;
    }
    int guest = memfd_create("ram", MFD_CLOEXEC);
    int blocks = memfd_create("blocks", MFD_CLOEXEC);
    CHECK(ftruncate(guest, RAM_PAGES * VMFT_PAGE_BYTES) == 0 && ftruncate(blocks, ROOM_PAGES * VMFT_PAGE_BYTES) == 0);
    char guest_path[64];
    char blocks_path[64];
    snprintf(guest_path, sizeof guest_path, "/proc/self/fd/%d", guest);
    snprintf(blocks_path, sizeof blocks_path, "/proc/self/fd/%d", blocks);
    const uint64_t bytes = RAM_PAGES * VMFT_PAGE_BYTES;
    CHECK(ram_init(guest_path, bytes, blocks_path, bytes, &wrong) == -EINVAL && strstr(wrong, "another size") != NULL);
    CHECK(ram_init(guest_path, bytes, "/nowhere/blocks", bytes, &wrong) == -ENOENT);
    CHECK(ram_init(guest_path, bytes, blocks_path, ROOM_PAGES * VMFT_PAGE_BYTES, &wrong) == 0);

    CHECK(ram_is_file(guest) && !ram_is_file(blocks));
    CHECK(ram_is_block(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED));
    CHECK(!ram_is_block(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
    CHECK(!ram_is_block(PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED));

    uint8_t *view = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, guest, 0);
    ram_mapped(view, bytes, MAP_SHARED, guest, 0);
    uint8_t *video = reserve(8);
    CHECK(ram_map_block(video, 8 * VMFT_PAGE_BYTES, PROT_READ | PROT_WRITE) == video);
    CHECK(reported == 1 && reported_bytes == 8 * VMFT_PAGE_BYTES);
    uint8_t *rom = reserve(2);
    CHECK(ram_map_block(rom, VMFT_PAGE_BYTES + 1, PROT_READ | PROT_WRITE) == rom);
    CHECK(reported == 2 && reported_bytes == 2 * VMFT_PAGE_BYTES);
    CHECK(ram.pages == RAM_PAGES + 10 && bitmap_count(ram.pending, bitmap_words(ram.pages)) == ram.pages);

    uint64_t page;
    CHECK(ram_block_of((uint64_t)(uintptr_t)rom + VMFT_PAGE_BYTES, 1, &page) == &ram.blocks[2] && page == RAM_PAGES + 9);
    CHECK(ram_block_of((uint64_t)(uintptr_t)rom + VMFT_PAGE_BYTES, 2 * VMFT_PAGE_BYTES, &page) == NULL);
    CHECK(ram_contains((uint64_t)(uintptr_t)view, bytes) && !ram_contains((uint64_t)(uintptr_t)&page, 1));

    /* What is written is found under its number, and is in the file and in the library's view. */
    uint64_t *dirty = bitmap_new(ram_capacity_pages());
    harvest(dirty);
    video[3 * VMFT_PAGE_BYTES] = 7;
    rom[0] = 9;
    view[0] = 1;
    CHECK(harvest(dirty) == 3);
    CHECK(dirty[0] == 1 && dirty[1] == (1ull << (RAM_PAGES + 3 - 64) | 1ull << (RAM_PAGES + 8 - 64)));
    uint64_t run;
    CHECK(*ram_guest_page(RAM_PAGES + 3, &run) == 7 && run == 5);
    CHECK(*ram_guest_page(RAM_PAGES + 8, &run) == 9 && run == 2);
    uint8_t byte;
    CHECK(pread(blocks, &byte, 1, 3 * VMFT_PAGE_BYTES) == 1 && byte == 7);

    /* Only what was touched of guest RAM has memory, and it stays so. */
    view[70 * VMFT_PAGE_BYTES] = 1;
    CHECK(ram_untouched(0, 5) == 0 && ram_untouched(1, 10) == 10 && ram_untouched(1, 100) == 69);
    CHECK(ram_untouched(71, 100) == 29 && ram_untouched(RAM_PAGES, 1) == 0);
    memset(dirty, 0, bitmap_words(ram_capacity_pages()) * sizeof *dirty);
    ram_add_touched(dirty);
    CHECK(dirty[0] == 1 && (dirty[1] & ((1ull << (RAM_PAGES - 64)) - 1)) == 1 << (70 - 64));
    CHECK(bitmap_count(dirty, bitmap_words(ram_capacity_pages())) == 2 + 10);

    /* To QEMU it is private memory: what it discards reads as zeroes, on both sides. */
    memset(ram.pending, 0, bitmap_words(ram_capacity_pages()) * sizeof *dirty);
    CHECK(ram_discard((uint64_t)(uintptr_t)video, 4 * VMFT_PAGE_BYTES, MADV_DONTNEED) == 0);
    CHECK(video[3 * VMFT_PAGE_BYTES] == 0 && *ram_guest_page(RAM_PAGES + 3, &run) == 0);
    CHECK(bitmap_count(ram.pending, bitmap_words(ram.pages)) == 4);
    CHECK(ram_discard((uint64_t)(uintptr_t)&page, 1, MADV_DONTNEED) == -EINVAL);

    /* A device that is unplugged takes its memory along; its pages stay, and no number changes. */
    ram_unmapped(rom, 2 * VMFT_PAGE_BYTES);
    munmap(rom, 2 * VMFT_PAGE_BYTES);
    CHECK(ram_block_of((uint64_t)(uintptr_t)rom, 1, &page) == NULL && *ram_guest_page(RAM_PAGES + 8, &run) == 9);
    harvest(dirty);

    uint8_t *more = reserve(ROOM_PAGES);
    if (setjmp(died) == 0) {
        ram_map_block(more, ROOM_PAGES * VMFT_PAGE_BYTES, PROT_READ | PROT_WRITE);
        CHECK(!"more was mapped than there is room for");
    }
    pthread_mutex_unlock(&ram.lock);
    CHECK(ram_may_grow("memory"));
    CHECK(ram_freeze() == RAM_PAGES + 10);
    CHECK(!ram_may_grow("memory") && errno == ENOTSUP);
    free(dirty);
    free(ram.pending);
    return 0;
}
