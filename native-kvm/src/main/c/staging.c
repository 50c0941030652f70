#define _GNU_SOURCE
#include "staging.h"

#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct staging staging;

static bool page_aligned(uint64_t value) {
    return value % VMFT_PAGE_BYTES == 0;
}

const char *staging_check(const struct vmft_staging_header *h, uint64_t file_bytes) {
    if (h->magic != VMFT_STAGING_MAGIC) {
        return "it is not a staging file";
    }
    if (h->abi != VMFT_ABI || h->page_bytes != VMFT_PAGE_BYTES) {
        return "it was made by another version; build the engine and libvmft.so together";
    }
    if (h->ram_bytes == 0 || h->ram_bytes > VMFT_MAX_RAM_BYTES || !page_aligned(h->ram_bytes)) {
        return "its RAM size is out of range";
    }
    if (h->blocks_bytes > VMFT_MAX_BLOCKS_BYTES || !page_aligned(h->blocks_bytes)) {
        return "its size of memory beside guest RAM is out of range";
    }
    if (h->slots == 0 || h->slots > VMFT_MAX_SLOTS || h->pages_per_slot == 0
        || h->pages_per_slot > VMFT_MAX_PAGES_PER_SLOT) {
        return "its slots are out of range";
    }
    /* Within the limits just checked no sum below overflows, as long as the offsets are less than the file's size. */
    uint64_t pages = (h->ram_bytes + h->blocks_bytes) / VMFT_PAGE_BYTES;
    if (h->file_bytes != file_bytes || h->file_bytes > 1ull << 56 || h->bitmap_offset > file_bytes
        || h->bitmap_bytes > file_bytes || h->slots_offset > file_bytes || h->slot_bytes > file_bytes
        || h->slot_pages_offset > file_bytes) {
        return "it is longer or shorter than its header says";
    }
    if (!page_aligned(h->bitmap_offset) || !page_aligned(h->slots_offset) || !page_aligned(h->slot_bytes)
        || !page_aligned(h->slot_pages_offset)) {
        return "its parts are not aligned";
    }
    if (h->bitmap_offset < sizeof *h || h->bitmap_bytes < (pages + 63) / 64 * 8
        || h->slots_offset < h->bitmap_offset + h->bitmap_bytes
        || h->slot_pages_offset < (uint64_t)h->pages_per_slot * sizeof(uint64_t)
        || h->slot_bytes < h->slot_pages_offset + (uint64_t)h->pages_per_slot * VMFT_PAGE_BYTES
        || file_bytes - h->slots_offset < h->slot_bytes * h->slots) {
        return "its parts overlap";
    }
    if (h->pause_timeout_nanos == 0 || h->pause_timeout_nanos > 3600ull * 1000000000u) {
        return "its pause timeout is out of range";
    }
    return NULL;
}

int staging_open(const char *path, const char **wrong) {
    int fd = sys_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) {
        *wrong = "it cannot be opened";
        return fd;
    }
    int error = -EINVAL;
    struct stat stat;
    if (fstat(fd, &stat) < 0 || pread(fd, &staging.header, sizeof staging.header, 0) != sizeof staging.header) {
        *wrong = "it is too short";
        goto out;
    }
    *wrong = staging_check(&staging.header, (uint64_t)stat.st_size);
    if (*wrong != NULL) {
        goto out;
    }
    staging.base = sys_mmap(NULL, staging.header.file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (staging.base == MAP_FAILED) {
        error = -errno;
        *wrong = "it cannot be mapped";
        goto out;
    }
    /* A pause must not take faults here. */
    error = sys_madvise(staging.base, staging.header.file_bytes, MADV_POPULATE_WRITE);
    if (error < 0) {
        *wrong = "there is no memory for it";
        goto out;
    }
    sys_madvise(staging.base, staging.header.file_bytes, MADV_DONTDUMP);
    staging_reset();
out:
    sys_close(fd);
    return error;
}

void staging_reset(void) {
    memset(staging.mine, 0, sizeof staging.mine);
    for (uint32_t slot = 0; slot < staging.header.slots; slot++) {
        staging.mine[slot / 64] |= 1ull << (slot % 64);
    }
}

int staging_free_slot(void) {
    for (unsigned i = 0; i < VMFT_MAX_SLOTS / 64; i++) {
        if (staging.mine[i] != 0) {
            return (int)(i * 64) + __builtin_ctzll(staging.mine[i]);
        }
    }
    return -1;
}

void staging_give(uint32_t slot) {
    staging.mine[slot / 64] &= ~(1ull << (slot % 64));
}

bool staging_take_back(uint32_t slot) {
    uint64_t bit = 1ull << (slot % 64);
    if (slot >= staging.header.slots || (staging.mine[slot / 64] & bit) != 0) {
        return false;
    }
    staging.mine[slot / 64] |= bit;
    return true;
}

static uint8_t *slot_base(uint32_t slot) {
    return staging.base + staging.header.slots_offset + (uint64_t)slot * staging.header.slot_bytes;
}

uint64_t *staging_indexes(uint32_t slot) {
    return (uint64_t *)slot_base(slot);
}

uint8_t *staging_pages(uint32_t slot) {
    return slot_base(slot) + staging.header.slot_pages_offset;
}

uint64_t *staging_bitmap(void) {
    return (uint64_t *)(staging.base + staging.header.bitmap_offset);
}
