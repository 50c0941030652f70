#define _GNU_SOURCE
#include "ram.h"

#include "bitmap.h"
#include "control.h"
#include "sys.h"
#include "vmft.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

struct ram ram = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* QEMU's own descriptor of guest RAM may be closed. */
static int ram_fd = -1;
static int blocks_fd = -1;
static uint64_t blocks_bytes;

uint64_t ram_capacity_pages(void) {
    return (ram.bytes + blocks_bytes) / VMFT_PAGE_BYTES;
}

int ram_init(const char *path, uint64_t bytes, const char *blocks_path, uint64_t room_bytes, const char **wrong) {
    ram.path = path;
    ram.bytes = bytes;
    ram.pages = bytes / VMFT_PAGE_BYTES;
    ram.blocks[0] = (struct ram_block){.pages = ram.pages};
    ram.block_count = 1;
    blocks_bytes = room_bytes;
    blocks_fd = sys_openat(AT_FDCWD, blocks_path, O_RDWR | O_CLOEXEC, 0);
    if (blocks_fd < 0) {
        *wrong = "the file for memory beside guest RAM cannot be opened";
        return blocks_fd;
    }
    struct stat stat;
    if (fstat(blocks_fd, &stat) < 0 || (uint64_t)stat.st_size != blocks_bytes) {
        *wrong = "the file for memory beside guest RAM has another size than the engine says";
        return -EINVAL;
    }
    ram.pending = bitmap_new(ram_capacity_pages());
    if (ram.pending == NULL) {
        *wrong = "no memory for bitmaps of guest RAM";
        return -ENOMEM;
    }
    bitmap_set_range(ram.pending, 0, ram.pages);
    return 0;
}

bool ram_is_file(int fd) {
    struct stat mapped;
    struct stat expected;
    return fstat(fd, &mapped) == 0 && stat(ram.path, &expected) == 0 && mapped.st_dev == expected.st_dev
        && mapped.st_ino == expected.st_ino;
}

/* Maps a block a second time and tracks what is written through its first view. Ends the process on failure. */
static void attach(struct ram_block *block, uint8_t *view, uint64_t bytes, int fd, int64_t offset, const char *name) {
    uint8_t *second = sys_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, offset);
    if (second == MAP_FAILED) {
        control_die(errno, "cannot map %s a second time", name);
    }
    /* A huge page cannot be tracked by its parts; a core dump needs guest memory once at the most. */
    sys_madvise(view, bytes, MADV_NOHUGEPAGE);
    sys_madvise(second, bytes, MADV_NOHUGEPAGE);
    sys_madvise(second, bytes, MADV_DONTDUMP);
    int error = pagemap_track(view, bytes);
    if (error < 0) {
        control_die(-error, "cannot track writes to %s; it must lie on tmpfs or be a memfd", name);
    }
    block->guest_view = second;
    block->view = (struct pagemap_view){.start = view, .bytes = bytes};
}

void ram_mapped(uint8_t *view, uint64_t bytes, int flags, int fd, int64_t offset) {
    if (ram.blocks[0].view.start != NULL) {
        control_die(EEXIST, "guest RAM file %s is mapped twice; use it for one memory backend only", ram.path);
    }
    if ((flags & MAP_TYPE) != MAP_SHARED && (flags & MAP_TYPE) != MAP_SHARED_VALIDATE) {
        control_die(EINVAL, "guest RAM file %s is mapped privately; add share=on to its memory backend", ram.path);
    }
    if (bytes != ram.bytes || offset != 0) {
        control_die(EINVAL, "guest RAM file %s is mapped with %" PRIu64 " bytes, but %" PRIu64 " are configured",
            ram.path, bytes, ram.bytes);
    }
    pthread_mutex_lock(&ram.lock);
    attach(&ram.blocks[0], view, bytes, fd, 0, ram.path);
    ram_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    pthread_mutex_unlock(&ram.lock);
}

bool ram_is_block(int prot, int flags) {
    return (flags & MAP_FIXED) != 0 && (prot & (PROT_READ | PROT_WRITE)) == (PROT_READ | PROT_WRITE);
}

bool ram_may_grow(const char *what) {
    pthread_mutex_lock(&ram.lock);
    bool frozen = ram.frozen;
    pthread_mutex_unlock(&ram.lock);
    if (frozen) {
        dprintf(STDERR_FILENO,
            "vmft: %s cannot be added to a running VM: its backup has none such. Give the VM all its memory, processors and "
            "devices in its file, and start it again\n",
            what);
        errno = ENOTSUP;
    }
    return !frozen;
}

void *ram_map_block(uint8_t *address, uint64_t bytes, int prot) {
    bytes = (bytes + VMFT_PAGE_BYTES - 1) / VMFT_PAGE_BYTES * VMFT_PAGE_BYTES;
    pthread_mutex_lock(&ram.lock);
    uint64_t offset = (ram.pages - ram.blocks[0].pages) * VMFT_PAGE_BYTES;
    if (ram.block_count == RAM_BLOCKS || bytes > blocks_bytes - offset) {
        control_die(ENOSPC,
            "QEMU has more than %" PRIu64 " MiB, or more than %u pieces, of memory beside guest RAM; use fewer devices "
            "with memory of their own",
            blocks_bytes >> 20, RAM_BLOCKS - 1);
    }
    uint8_t *view = sys_mmap(address, bytes, prot, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, blocks_fd, (off_t)offset);
    if (view == MAP_FAILED) {
        pthread_mutex_unlock(&ram.lock);
        return MAP_FAILED;
    }
    unsigned number = ram.block_count;
    struct ram_block *block = &ram.blocks[number];
    *block = (struct ram_block){.first_page = ram.pages, .pages = bytes / VMFT_PAGE_BYTES};
    attach(block, view, bytes, blocks_fd, (int64_t)offset, "memory beside guest RAM");
    bitmap_set_range(ram.pending, ram.pages, ram.pages + block->pages);
    ram.pages += block->pages;
    ram.block_count++;
    /* Before a harvest can count its pages. */
    control_block(number, bytes);
    pthread_mutex_unlock(&ram.lock);
    return view;
}

void ram_unmapped(uint8_t *address, uint64_t bytes) {
    pthread_mutex_lock(&ram.lock);
    for (struct ram_block *block = ram.blocks; block < ram.blocks + ram.block_count; block++) {
        uint8_t *start = block->view.start;
        if (start != NULL && address <= start && start + block->view.bytes <= address + bytes) {
            bitmap_set_range(ram.pending, block->first_page, block->first_page + block->pages);
            block->view = (struct pagemap_view){0};
        }
    }
    pthread_mutex_unlock(&ram.lock);
}

uint64_t ram_freeze(void) {
    pthread_mutex_lock(&ram.lock);
    ram.frozen = true;
    uint64_t pages = ram.pages;
    pthread_mutex_unlock(&ram.lock);
    return pages;
}

const struct ram_block *ram_block_of(uint64_t address, uint64_t bytes, uint64_t *page) {
    for (const struct ram_block *block = ram.blocks; block < ram.blocks + ram.block_count; block++) {
        uint64_t start = (uint64_t)(uintptr_t)block->view.start;
        if (start != 0 && address >= start && address - start < block->view.bytes
            && bytes <= block->view.bytes - (address - start)) {
            *page = block->first_page + (address - start) / VMFT_PAGE_BYTES;
            return block;
        }
    }
    return NULL;
}

bool ram_contains(uint64_t address, uint64_t bytes) {
    uint64_t page;
    pthread_mutex_lock(&ram.lock);
    bool contains = ram_block_of(address, bytes, &page) != NULL;
    pthread_mutex_unlock(&ram.lock);
    return contains;
}

/* The lock is held. */
static int discard(const struct ram_block *block, uint64_t address, uint64_t bytes, uint64_t page, int advice) {
    if (block != &ram.blocks[0]) {
        /* QEMU takes it for private memory, which MADV_DONTNEED clears. */
        off_t offset = (off_t)((page - ram.blocks[0].pages) * VMFT_PAGE_BYTES);
        return fallocate(blocks_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, (off_t)bytes) < 0 ? -errno : 0;
    }
    /* QEMU's view may be locked, where MADV_DONTNEED is refused. */
    return sys_madvise((void *)(uintptr_t)address, bytes, advice == MADV_DONTNEED ? MADV_DONTNEED_LOCKED : advice);
}

int ram_discard(uint64_t address, uint64_t bytes, int advice) {
    uint64_t page;
    int r = -EINVAL;
    pthread_mutex_lock(&ram.lock);
    const struct ram_block *block = ram_block_of(address, bytes, &page);
    if (block != NULL) {
        r = discard(block, address, bytes, page, advice);
    }
    if (r == 0) {
        bitmap_set_range(ram.pending, page, page + (bytes + VMFT_PAGE_BYTES - 1) / VMFT_PAGE_BYTES);
    }
    pthread_mutex_unlock(&ram.lock);
    return r;
}

uint64_t ram_untouched(uint64_t page, uint64_t run) {
    if (page >= ram.blocks[0].pages) {
        return 0;
    }
    off_t start = (off_t)(page * VMFT_PAGE_BYTES);
    off_t data = lseek(ram_fd, start, SEEK_DATA);
    if (data < 0) {
        /* ENXIO: there is none up to the end of the file. */
        return errno != ENXIO ? 0 : run < ram.blocks[0].pages - page ? run : ram.blocks[0].pages - page;
    }
    uint64_t untouched = (uint64_t)(data - start) / VMFT_PAGE_BYTES;
    return untouched < run ? untouched : run;
}

void ram_add_touched(uint64_t *map) {
    bitmap_set_range(map, ram.blocks[0].pages, ram.pages);
    for (uint64_t page = 0; page < ram.blocks[0].pages;) {
        page += ram_untouched(page, ram.blocks[0].pages - page);
        off_t end = lseek(ram_fd, (off_t)(page * VMFT_PAGE_BYTES), SEEK_HOLE);
        uint64_t hole = end < 0 ? ram.blocks[0].pages : (uint64_t)end / VMFT_PAGE_BYTES;
        bitmap_set_range(map, page, hole);
        page = hole > page ? hole : page + 1;
    }
}

const uint8_t *ram_guest_page(uint64_t page, uint64_t *run) {
    const struct ram_block *block = ram.blocks;
    while (page >= block->first_page + block->pages) {
        block++;
    }
    *run = block->first_page + block->pages - page;
    return block->guest_view + (page - block->first_page) * VMFT_PAGE_BYTES;
}
