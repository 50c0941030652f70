/*
 * What libvmft.so and the engine agree on: the control protocol and the staging file.
 * All numbers are little-endian. io.vmft.kvm mirrors this file; a change of it raises VMFT_ABI.
 */
#ifndef VMFT_H
#define VMFT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define VMFT_ABI 6u
#define VMFT_PAGE_BYTES 4096u
/*
 * The file name given to QEMU's xen-save-devices-state: the library opens the state file in its place. Short, for QEMU takes its commands
 * byte by byte; and one that nothing else opens to write, nor QEMU without the library.
 */
#define VMFT_STATE_NAME "/"
#define VMFT_MAX_SLOTS 128u
#define VMFT_MAX_PAGES_PER_SLOT (1u << 17)
#define VMFT_MAX_RAM_BYTES (1ull << 43)
#define VMFT_MAX_BLOCKS_BYTES (1ull << 40)

/* Control protocol: messages of one size on a unix stream socket. The engine listens, the library connects. */
enum vmft_type {
    /* library to engine */
    VMFT_HELLO = 1,     /* arg ABI; value[0] pid */
    VMFT_CHUNK = 3,     /* arg slot; epoch; value[0] page indexes, value[1] pages in the slot */
    VMFT_HARVESTED = 4, /* arg 1 valid, 0 void; epoch; value[] by enum vmft_harvested */
    VMFT_LIVE = 5,      /* epoch: sequence number; value[0] dirty pages; the bitmap is in the staging file */
    VMFT_ERROR = 6,     /* arg errno; value[] text, ends with NUL if shorter; the library ends the process */
    VMFT_BLOCK = 7,     /* arg number, from 1; value[0] bytes */
    VMFT_FROZEN = 8,    /* value[0] pages of all blocks, value[1] 1 if QEMU was seen to send to others than the engine, as to its disks */
    VMFT_DIGESTS = 9,   /* epoch; value[0] how many; they are in the staging file where a live harvest's bitmap would be */
    VMFT_PRECOPIED = 10, /* epoch; the pre-copy that was asked for is over, or was not begun, for the epoch was given up */
    /* engine to library */
    VMFT_ARM = 17,          /* epoch: the next opening of the state file is its pause; arg: enum vmft_arm */
    /*
     * What becomes of the epoch of a VMFT_HARVESTED that was valid. Until one of these has come QEMU sends nothing to its disks, however long that
     * takes: the engine answers, or ends.
     */
    VMFT_SEALED = 18,       /* epoch: its line is drawn */
    VMFT_VOID = 19,         /* epoch: it failed, all its pages are dirty again; until the next ARM */
    VMFT_RELEASE = 20,      /* arg slot: the library's again */
    VMFT_HARVEST_LIVE = 21, /* epoch: sequence number; arg 1: the bitmap is of all pages ever touched, 0: of dirty pages */
    VMFT_FREEZE = 22,       /* QEMU has made its machine: no memory may be added any more; each harvest implies it */
    VMFT_CLOCK_AHEAD = 23,  /* epoch: nanoseconds by which a restored guest's clocks are to be ahead of its saved state; 0: no more */
};

/* Bits. */
enum vmft_arm {
    VMFT_ARM_DIGESTS = 1, /* the pause is to report VMFT_DIGESTS */
    VMFT_ARM_PRECOPY = 2, /* what is dirty now is to be copied now, while the guest runs; the library says VMFT_PRECOPIED */
};

/* Moments are of CLOCK_MONOTONIC, in nanoseconds, and come in this order. */
enum vmft_harvested {
    /*
     * Of a valid one: page indexes in its chunks; a page that was written again while it was copied comes again, and so may one of the last
     * pause.
     */
    VMFT_DIRTY_PAGES,
    VMFT_OPENED_AT,      /* the state file was opened: the VM is stopped and drained */
    VMFT_CLOSED_AT,      /* the state file is whole */
    VMFT_FOUND_AT,       /* dirty pages are known */
    VMFT_COPIED_AT,      /* and copied, and read once more if digests were asked for, or the checkpoint is void: QEMU goes on */
    VMFT_SLOT_WAIT,      /* nanoseconds between FOUND and COPIED in which no slot was free */
    VMFT_FROM_PAGEMAP,   /* pages found dirty in the page map */
    VMFT_FROM_DIRTY_LOG, /* and in KVM's dirty log */
    VMFT_BEFORE_PAUSE,   /* of the dirty pages, those in chunks of the pre-copy */
    VMFT_VALUES = 14,
};

struct vmft_message {
    uint32_t type;
    uint32_t arg;
    uint64_t epoch;
    uint64_t value[VMFT_VALUES];
};
static_assert(sizeof(struct vmft_message) == 128, "messages are 128 bytes");
static_assert(offsetof(struct vmft_message, value) == 16, "values follow the epoch");

/*
 * The staging file. All parts begin on page boundaries.
 *
 *  0            bitmap_offset   slots_offset               + slot_bytes
 *  +------------+---------------+--------------------------+------------- ... -+
 *  | header     | bitmap of a   | slot 0                   | slot 1            |
 *  |            | live harvest  | page indexes | pages     |                   |
 *  +------------+---------------+--------------------------+------------- ... -+
 *
 * A page index is a u64. Pages are numbered through all blocks of guest-visible memory: block 0 is the guest RAM file, the others (video
 * memory, firmware, option ROMs) follow in the order in which QEMU made them. They lie in the blocks file one after the other, so page
 * ram_bytes / page_bytes is that file's first. VMFT_ZERO_PAGE in an index says that the page is all zeroes: it has no page in the slot.
 * The library owns all slots at first; the engine owns one from VMFT_CHUNK to VMFT_RELEASE.
 */
#define VMFT_ZERO_PAGE (1ull << 63)

/* A digest is a u32: the CRC-32C of so many pages, the last maybe of fewer. They take less room than a bitmap. */
#define VMFT_DIGEST_PAGES 256u

#define VMFT_STAGING_MAGIC 0x3147545354464d56ull /* "VMFTSTG1" */

struct vmft_staging_header {
    uint64_t magic;
    uint32_t abi;
    uint32_t page_bytes;
    uint64_t ram_bytes;
    uint32_t slots;
    uint32_t pages_per_slot;
    uint64_t bitmap_offset;
    uint64_t bitmap_bytes;
    uint64_t slots_offset;
    uint64_t slot_bytes;
    uint64_t slot_pages_offset;
    uint64_t pause_timeout_nanos;
    uint64_t file_bytes;
    uint64_t blocks_bytes; /* of the blocks file: room for all blocks but the first */
};
static_assert(sizeof(struct vmft_staging_header) == 96, "as io.vmft.kvm.StagingFile writes it");
static_assert(offsetof(struct vmft_staging_header, slots_offset) == 48, "as io.vmft.kvm.StagingFile writes it");

#endif
