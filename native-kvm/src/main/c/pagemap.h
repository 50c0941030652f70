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

#include <stdint.h>

/* Prepares both interfaces. On failure returns negative errno and sets *refused to what the operator can do. */
int pagemap_open(const char **refused);

/* Begins to track [view, view + bytes). Negative errno. */
int pagemap_track(uint8_t *view, uint64_t bytes);

/*
 * QEMU runs vCPUs by KVM, so its view will hold few pages: harvests shall pass over what is not in it. Takes effect with the
 * next harvest, if the view may be locked.
 */
void pagemap_expect_holes(void);

/* Adds the pages written since the last call to dirty; returns their number or negative errno. */
int64_t pagemap_harvest(uint8_t *view, uint64_t bytes, uint64_t *dirty);

#endif
