#define _GNU_SOURCE
#include "ram.h"

#include "bitmap.h"
#include "control.h"
#include "pagemap.h"
#include "sys.h"
#include "vmft.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct ram ram = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool ram_init(const char *path, uint64_t bytes) {
    ram.path = path;
    ram.bytes = bytes;
    ram.pages = bytes / VMFT_PAGE_BYTES;
    ram.pending = bitmap_new(ram.pages);
    if (ram.pending == NULL) {
        return false;
    }
    bitmap_set_range(ram.pending, 0, ram.pages);
    return true;
}

bool ram_is_file(int fd) {
    struct stat mapped;
    struct stat expected;
    return fstat(fd, &mapped) == 0 && stat(ram.path, &expected) == 0 && mapped.st_dev == expected.st_dev
        && mapped.st_ino == expected.st_ino;
}

void ram_mapped(uint8_t *view, uint64_t bytes, int flags, int fd, int64_t offset) {
    if (ram.qemu_view != NULL) {
        control_die(EEXIST, "guest RAM file %s is mapped twice; use it for one memory backend only", ram.path);
    }
    if ((flags & MAP_TYPE) != MAP_SHARED && (flags & MAP_TYPE) != MAP_SHARED_VALIDATE) {
        control_die(EINVAL, "guest RAM file %s is mapped privately; add share=on to its memory backend", ram.path);
    }
    if (bytes != ram.bytes || offset != 0) {
        control_die(EINVAL, "guest RAM file %s is mapped with %" PRIu64 " bytes, but %" PRIu64 " are configured",
            ram.path, bytes, ram.bytes);
    }
    uint8_t *second = sys_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (second == MAP_FAILED) {
        control_die(errno, "cannot map guest RAM file %s a second time", ram.path);
    }
    /* A huge page cannot be tracked by its parts; a core dump needs guest RAM once at the most. */
    sys_madvise(view, bytes, MADV_NOHUGEPAGE);
    sys_madvise(second, bytes, MADV_NOHUGEPAGE);
    sys_madvise(second, bytes, MADV_DONTDUMP);
    int error = pagemap_track(view, bytes);
    if (error < 0) {
        control_die(-error, "cannot track writes to guest RAM file %s; it must lie on tmpfs or be a memfd", ram.path);
    }
    ram.guest_view = second;
    ram.qemu_view = view;
}

bool ram_page_of(uint64_t address, uint64_t bytes, uint64_t *page) {
    uint64_t start = (uint64_t)(uintptr_t)ram.qemu_view;
    if (start == 0 || address < start || address - start >= ram.bytes || bytes > ram.bytes - (address - start)) {
        return false;
    }
    *page = (address - start) / VMFT_PAGE_BYTES;
    return true;
}

void ram_mark(uint64_t first, uint64_t end) {
    pthread_mutex_lock(&ram.lock);
    bitmap_set_range(ram.pending, first, end);
    pthread_mutex_unlock(&ram.lock);
}
