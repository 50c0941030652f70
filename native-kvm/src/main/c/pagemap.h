/*
 * Pages written through QEMU's view: userfaultfd in asynchronous write-protect mode lets the kernel lift the protection of
 * a page at its first write without a message, and PAGEMAP_SCAN lists the unprotected pages and protects them again in one
 * call (Linux 6.7). See Documentation/admin-guide/mm/pagemap.rst and userfaultfd.rst.
 *
 * Only what the kernel writes to pages it has pinned (O_DIRECT into guest RAM) can escape: a write that ends after a harvest
 * that protected its page again. In a pause there is none, the disks are drained.
 */
#ifndef VMFT_PAGEMAP_H
#define VMFT_PAGEMAP_H

#include <stdbool.h>
#include <stdint.h>

/* A mapping whose writes are tracked. */
struct pagemap_view {
    uint8_t *start;
    uint64_t bytes;
    /* Whether it was tried to lock it, and whether it is locked. */
    bool lock_tried;
    bool locked;
};

/* Prepares both interfaces. On failure returns negative errno and sets *refused to what the operator can do. */
int pagemap_open(const char **refused);

/* Begins to track [view, view + bytes). Negative errno. */
int pagemap_track(uint8_t *view, uint64_t bytes);

/* QEMU runs vCPUs by KVM, so its views will hold few pages: harvests shall pass over what is not in them. */
void pagemap_expect_holes(void);

/* Before a harvest of the view, on one thread: locks it if it will have holes and may be locked. */
void pagemap_prepare(struct pagemap_view *view);

/*
 * Adds the pages of the bytes from from to end of the view that were written since they were protected last to dirty, the view's first as
 * first_page; returns their number or negative errno. With protect they are protected again, else the next call finds them once more.
 * Several threads may harvest parts of one view, or several, at once.
 */
int64_t pagemap_harvest(
    const struct pagemap_view *view, uint64_t from, uint64_t end, bool protect, uint64_t first_page, uint64_t *dirty);

#endif
