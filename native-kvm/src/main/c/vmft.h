/*
 * What libvmft.so and the engine agree on: the control protocol and the staging file.
 * All numbers are little-endian. io.vmft.kvm mirrors this file; a change of it raises VMFT_ABI.
 */
#ifndef VMFT_H
#define VMFT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define VMFT_ABI 2u
#define VMFT_PAGE_BYTES 4096u
#define VMFT_MAX_SLOTS 128u
#define VMFT_MAX_PAGES_PER_SLOT (1u << 17)
#define VMFT_MAX_RAM_BYTES (1ull << 43)

/* Control protocol: messages of one size on a unix stream socket. The engine listens, the library connects. */
enum vmft_type {
    /* library to engine */
    VMFT_HELLO = 1,     /* arg ABI; value[0] pid */
    VMFT_PAUSED = 2,    /* epoch */
    VMFT_CHUNK = 3,     /* arg slot; epoch; value[0] pages in the slot */
    VMFT_HARVESTED = 4, /* arg 1 valid, 0 void; epoch; value[] by enum vmft_harvested */
    VMFT_LIVE = 5,      /* epoch: sequence number; value[0] dirty pages; the bitmap is in the staging file */
    VMFT_ERROR = 6,     /* arg errno; value[] text, ends with NUL if shorter; the library ends the process */
    /* engine to library */
    VMFT_ARM = 17,          /* epoch: the next opening of the state file is its pause */
    VMFT_SEALED = 18,       /* epoch: its line is drawn */
    VMFT_VOID = 19,         /* epoch: it failed, all its pages are dirty again; until the next ARM */
    VMFT_RELEASE = 20,      /* arg slot: the library's again */
    VMFT_HARVEST_LIVE = 21, /* epoch: sequence number */
};

/* Moments are of CLOCK_MONOTONIC, in nanoseconds, and come in this order. */
enum vmft_harvested {
    VMFT_DIRTY_PAGES,
    VMFT_OPENED_AT,      /* the state file was opened: the VM is stopped and drained */
    VMFT_CLOSED_AT,      /* the state file is whole */
    VMFT_FOUND_AT,       /* dirty pages are known */
    VMFT_COPIED_AT,      /* and copied */
    VMFT_ENDED_AT,       /* and the line is drawn, or the checkpoint is void: QEMU goes on */
    VMFT_SLOT_WAIT,      /* nanoseconds between FOUND and COPIED in which no slot was free */
    VMFT_FROM_PAGEMAP,   /* pages found dirty in the page map */
    VMFT_FROM_DIRTY_LOG, /* and in KVM's dirty log */
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
 * A page index is a u64: bits 0..47 the offset in a RAM block divided by the page size, bits 48..63 the block.
 * Block 0 is the guest RAM file; there is no other yet.
 * The library owns all slots at first; the engine owns one from VMFT_CHUNK to VMFT_RELEASE.
 */
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
};
static_assert(sizeof(struct vmft_staging_header) == 88, "as io.vmft.kvm.StagingFile writes it");
static_assert(offsetof(struct vmft_staging_header, slots_offset) == 48, "as io.vmft.kvm.StagingFile writes it");

#endif
