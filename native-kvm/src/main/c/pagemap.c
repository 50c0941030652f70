#define _GNU_SOURCE
#include "pagemap.h"

#include "bitmap.h"
#include "sys.h"
#include "vmft.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of Debian 12. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

struct scan {
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end;
    uint64_t vec;
    uint64_t vec_len;
    uint64_t max_pages;
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
};
static_assert(sizeof(struct scan) == 96, "struct pm_scan_arg");

struct region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};
static_assert(sizeof(struct region) == 24, "struct page_region");

#define SCAN_IOCTL _IOWR('f', 16, struct scan)
#define SCAN_WP_MATCHING 1u
#define SCAN_CHECK_WPASYNC 2u
#define IS_WRITTEN 2u
#define IS_PRESENT 8u
#define IS_SWAPPED 16u
/* On the stack. */
#define REGIONS 1024u

static int uffd = -1;
static int pagemap = -1;

/*
 * Two ways to ask. DENSE asks for PAGE_IS_WRITTEN alone. The kernel has a short path for that, three times as fast on pages that are
 * present, and a page whose entry was dropped since it was written, by swapping, counts as written. But it visits holes, and
 * counts each as written once. SPARSE asks for written pages that are present or on their way, so holes cost next to
 * nothing; then no page may be dropped, which locking the view prevents.
 */
static bool sparse_wanted;

static struct scan scan_of(uint64_t start, uint64_t end, struct region *regions, bool sparse, bool protect) {
    return (struct scan){
        .size = sizeof(struct scan),
        .flags = (protect ? SCAN_WP_MATCHING : 0) | SCAN_CHECK_WPASYNC,
        .start = start,
        .end = end,
        .vec = (uint64_t)(uintptr_t)regions,
        .vec_len = REGIONS,
        .category_mask = IS_WRITTEN,
        .category_anyof_mask = sparse ? IS_PRESENT | IS_SWAPPED : 0,
        .return_mask = IS_WRITTEN,
    };
}

int pagemap_open(const char **refused) {
    /* No fault is ever handed to user space in asynchronous mode, so the unprivileged kind serves, for kernel accesses too. */
    uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (uffd < 0) {
        *refused = "userfaultfd is not permitted: allow the system call in the container's seccomp profile (or run "
                   "QEMU outside the container), in a kernel with CONFIG_USERFAULTFD";
        return -errno;
    }
    struct uffdio_api api = {
        .api = UFFD_API,
        .features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_UNPOPULATED,
    };
    long r = sys_ioctl(uffd, UFFDIO_API, &api);
    if (r < 0) {
        *refused = "userfaultfd has no asynchronous write protection: Linux 6.7 or newer is needed";
        return (int)r;
    }
    pagemap = sys_openat(AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
    if (pagemap < 0) {
        *refused = "/proc/self/pagemap cannot be opened: mount /proc, and give QEMU no file capabilities or setuid bit";
        return pagemap;
    }
    struct region none[REGIONS];
    struct scan probe = scan_of(0, 0, none, false, true);
    r = sys_ioctl(pagemap, SCAN_IOCTL, &probe);
    if (r < 0) {
        *refused = "PAGEMAP_SCAN does not work: Linux 6.7 or newer is needed";
        return (int)r;
    }
    return 0;
}

int pagemap_track(uint8_t *view, uint64_t bytes) {
    struct uffdio_register track = {
        .range = {.start = (uint64_t)(uintptr_t)view, .len = bytes},
        .mode = UFFDIO_REGISTER_MODE_WP,
    };
    return (int)sys_ioctl(uffd, UFFDIO_REGISTER, &track);
}

void pagemap_expect_holes(void) {
    sparse_wanted = true;
}

void pagemap_prepare(struct pagemap_view *view) {
    if (sparse_wanted && !view->lock_tried) {
        view->lock_tried = true;
        view->locked = sys_mlock_on_fault(view->start, view->bytes) == 0;
    }
}

int64_t pagemap_harvest(
    const struct pagemap_view *view, uint64_t from, uint64_t end, bool protect, uint64_t first_page, uint64_t *dirty) {
    struct region regions[REGIONS];
    uint64_t base = (uint64_t)(uintptr_t)view->start;
    int64_t pages = 0;
    for (uint64_t start = base + from; start < base + end;) {
        struct scan scan = scan_of(start, base + end, regions, view->locked, protect);
        long found = sys_ioctl(pagemap, SCAN_IOCTL, &scan);
        if (found < 0) {
            return found;
        }
        for (long i = 0; i < found; i++) {
            uint64_t first = (regions[i].start - base) / VMFT_PAGE_BYTES;
            uint64_t last = (regions[i].end - base) / VMFT_PAGE_BYTES;
            bitmap_set_range(dirty, first_page + first, first_page + last);
            pages += (int64_t)(last - first);
        }
        start = scan.walk_end;
    }
    return pages;
}
