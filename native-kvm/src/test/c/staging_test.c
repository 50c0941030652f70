/* Who owns a slot, and what a header must not say. */
#include "check.h"
#include "staging.h"

static struct vmft_staging_header good(void) {
    struct vmft_staging_header h = {
        .magic = VMFT_STAGING_MAGIC,
        .abi = VMFT_ABI,
        .page_bytes = VMFT_PAGE_BYTES,
        .ram_bytes = 1 << 20,
        .slots = 3,
        .pages_per_slot = 5,
        .bitmap_offset = 4096,
        .bitmap_bytes = 4096,
        .slots_offset = 8192,
        .slot_bytes = 4096 * 6,
        .slot_pages_offset = 4096,
        .pause_timeout_nanos = 1000000000,
        .file_bytes = 8192 + 3 * 4096 * 6,
    };
    return h;
}

static bool refused(struct vmft_staging_header h) {
    return staging_check(&h, good().file_bytes) != NULL;
}

#define WITH(field, value)                        \
    ({                                            \
        struct vmft_staging_header with = good(); \
        with.field = (value);                     \
        with;                                     \
    })

static void headers_are_checked(void) {
    struct vmft_staging_header h = good();
    CHECK(staging_check(&h, h.file_bytes) == NULL);
    CHECK(staging_check(&h, h.file_bytes - 1) != NULL);
    CHECK(staging_check(&h, h.file_bytes + 4096) != NULL);
    CHECK(refused(WITH(magic, 0)));
    CHECK(refused(WITH(abi, VMFT_ABI + 1)));
    CHECK(refused(WITH(page_bytes, 8192)));
    CHECK(refused(WITH(ram_bytes, 0)));
    CHECK(refused(WITH(ram_bytes, 4097)));
    CHECK(refused(WITH(ram_bytes, VMFT_MAX_RAM_BYTES * 2)));
    CHECK(refused(WITH(ram_bytes, 4096ull * 8 * 4096 * 2)));
    CHECK(refused(WITH(blocks_bytes, 4097)));
    CHECK(refused(WITH(blocks_bytes, VMFT_MAX_BLOCKS_BYTES * 2)));
    CHECK(refused(WITH(blocks_bytes, 4096ull * 8 * 4096)));
    CHECK(!refused(WITH(blocks_bytes, 4096ull * 8 * 4096 - (1 << 20))));
    CHECK(refused(WITH(slots, 0)));
    CHECK(refused(WITH(slots, 4)));
    CHECK(refused(WITH(slots, VMFT_MAX_SLOTS + 1)));
    CHECK(refused(WITH(pages_per_slot, 0)));
    CHECK(refused(WITH(pages_per_slot, 6)));
    CHECK(refused(WITH(pages_per_slot, 0xffffffff)));
    CHECK(refused(WITH(bitmap_offset, 0)));
    CHECK(refused(WITH(bitmap_offset, 4097)));
    CHECK(refused(WITH(bitmap_offset, 8192)));
    CHECK(refused(WITH(bitmap_offset, ~0ull - 4095)));
    CHECK(refused(WITH(bitmap_bytes, 0)));
    CHECK(refused(WITH(bitmap_bytes, ~0ull)));
    CHECK(refused(WITH(slots_offset, 4096)));
    CHECK(refused(WITH(slots_offset, ~0ull - 4095)));
    CHECK(refused(WITH(slot_bytes, 4096)));
    CHECK(refused(WITH(slot_bytes, 1ull << 63)));
    CHECK(refused(WITH(slot_pages_offset, 0)));
    CHECK(refused(WITH(slot_pages_offset, 8192)));
    CHECK(refused(WITH(pause_timeout_nanos, 0)));
    CHECK(refused(WITH(pause_timeout_nanos, ~0ull)));
}

static void slots_change_hands(uint32_t slots) {
    staging.header.slots = slots;
    staging_reset();
    for (uint32_t i = 0; i < slots; i++) {
        int slot = staging_free_slot();
        CHECK(slot >= 0 && (uint32_t)slot < slots);
        CHECK(!staging_take_back((uint32_t)slot));
        staging_give((uint32_t)slot);
    }
    CHECK(staging_free_slot() == -1);
    CHECK(!staging_take_back(slots));
    CHECK(staging_take_back(slots - 1));
    CHECK(!staging_take_back(slots - 1));
    CHECK(staging_free_slot() == (int)slots - 1);
}

int main(void) {
    headers_are_checked();
    slots_change_hands(1);
    slots_change_hands(64);
    slots_change_hands(65);
    slots_change_hands(VMFT_MAX_SLOTS);
    return 0;
}
