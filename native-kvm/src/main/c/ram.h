/*
 * The guest's RAM file in this process, mapped twice: QEMU reads and writes it through its own view, KVM's vCPUs through
 * the library's. So protecting QEMU's view to find its writes does not disturb the guest.
 */
#ifndef VMFT_RAM_H
#define VMFT_RAM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct ram {
    const char *path;
    uint64_t bytes;
    uint64_t pages;
    /* NULL until QEMU has mapped the file; set once, before any vCPU exists. */
    uint8_t *qemu_view;
    uint8_t *guest_view;
    /* Serialises harvests and changes of KVM's slots, and guards what follows. */
    pthread_mutex_t lock;
    /* Pages known to be dirty that no harvest has to find: all at first, and those of void checkpoints. */
    uint64_t *pending;
};

extern struct ram ram;

/* False if memory runs out. */
bool ram_init(const char *path, uint64_t bytes);

/* Whether fd is the guest's RAM file. */
bool ram_is_file(int fd);

/* QEMU has mapped the file at view: maps it a second time and begins to track QEMU's writes. Ends the process on failure. */
void ram_mapped(uint8_t *view, uint64_t bytes, int flags, int fd, int64_t offset);

/* The page that address lies on, in QEMU's view; false if it is not in it. */
bool ram_page_of(uint64_t address, uint64_t bytes, uint64_t *page);

/* Counts pages first to end - 1 as dirty. Takes the lock. */
void ram_mark(uint64_t first, uint64_t end);

#endif
