/* KVM's slots against a KVM that is not there: sys_ioctl is this file's. */
#include "bitmap.h"
#include "check.h"
#include "control.h"
#include "kvmlog.h"
#include "ram.h"
#include "sys.h"
#include "vmft.h"

#include <errno.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#define RAM_PAGES 200u
#define VIDEO_PAGES 10u
#define PAGES (RAM_PAGES + VIDEO_PAGES)
#define VM 9

struct ram ram = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* What the fake KVM was asked last, and what it answers. */
static struct kvm_userspace_memory_region asked;
static int calls;
static long answer;
static uint64_t kvm_log[8][4];
static uint64_t kvm_pages[8];

long sys_ioctl(int fd, unsigned long request, void *arg) {
    calls++;
    if (answer < 0) {
        return answer;
    }
    if (request == KVM_SET_USER_MEMORY_REGION || request == VMFT_KVM_SET_USER_MEMORY_REGION2) {
        CHECK(fd == VM);
        memcpy(&asked, arg, sizeof asked);
        kvm_pages[asked.slot] = asked.memory_size / VMFT_PAGE_BYTES;
        if (request == VMFT_KVM_SET_USER_MEMORY_REGION2) {
            CHECK(((uint64_t *)arg)[19] == 0);
        }
    } else if (request == KVM_GET_DIRTY_LOG) {
        struct kvm_dirty_log *log = arg;
        CHECK(log->slot < 8);
        memcpy(log->dirty_bitmap, kvm_log[log->slot], bitmap_words(kvm_pages[log->slot]) * 8);
        memset(kvm_log[log->slot], 0, sizeof kvm_log[0]);
    }
    return answer;
}

static jmp_buf died;

void control_die(int error, const char *format, ...) {
    (void)error;
    (void)format;
    longjmp(died, 1);
}

const struct ram_block *ram_block_of(uint64_t address, uint64_t bytes, uint64_t *page) {
    for (struct ram_block *block = ram.blocks; block < ram.blocks + ram.block_count; block++) {
        uint64_t start = (uint64_t)(uintptr_t)block->view.start;
        *page = block->first_page + (address - start) / VMFT_PAGE_BYTES;
        if (address >= start && address + bytes <= start + block->view.bytes) {
            return block;
        }
    }
    return NULL;
}

static long set(uint32_t slot, uint32_t flags, uint64_t first, uint64_t pages) {
    struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = flags,
        .guest_phys_addr = 0x100000,
        .memory_size = pages * VMFT_PAGE_BYTES,
        .userspace_addr = (uint64_t)(uintptr_t)ram.blocks[0].view.start + first * VMFT_PAGE_BYTES,
    };
    return kvmlog_set_region(VM, KVM_SET_USER_MEMORY_REGION, &region);
}

static void reset(void) {
    answer = 0;
    for (uint32_t slot = 0; slot < 8; slot++) {
        set(slot, 0, 0, 0);
    }
    memset(ram.pending, 0, bitmap_words(PAGES) * 8);
    memset(kvm_log, 0, sizeof kvm_log);
    calls = 0;
}

static bool only(const uint64_t *map, uint64_t first, uint64_t end) {
    uint64_t f;
    uint64_t e = 0;
    bool one = bitmap_next_run(map, PAGES, 0, &f, &e);
    return one && f == first && e == end && bitmap_count(map, bitmap_words(PAGES)) == end - first;
}

static void clear(uint64_t *map) {
    memset(map, 0, bitmap_words(PAGES) * 8);
}

static void a_slot_on_ram_moves_to_the_guest_view_and_is_logged(void) {
    reset();
    CHECK(set(1, 0, 10, 20) == 0);
    CHECK(asked.userspace_addr == (uint64_t)(uintptr_t)ram.blocks[0].guest_view + 10 * VMFT_PAGE_BYTES);
    CHECK(asked.flags == KVM_MEM_LOG_DIRTY_PAGES);
    CHECK(asked.memory_size == 20 * VMFT_PAGE_BYTES && asked.guest_phys_addr == 0x100000);
}

static void a_read_only_slot_moves_but_has_no_log(void) {
    reset();
    CHECK(set(1, KVM_MEM_READONLY, 10, 20) == 0);
    CHECK(asked.userspace_addr == (uint64_t)(uintptr_t)ram.blocks[0].guest_view + 10 * VMFT_PAGE_BYTES);
    CHECK(asked.flags == KVM_MEM_READONLY);
    calls = 0;
    uint64_t *dirty = bitmap_new(PAGES);
    CHECK(kvmlog_harvest(dirty) == 0 && calls == 0);
    CHECK(set(1, 0, 0, 0) == 0);
    CHECK(bitmap_count(ram.pending, bitmap_words(PAGES)) == 0);
    free(dirty);
}

static void a_slot_on_another_block_moves_to_its_view(void) {
    reset();
    struct kvm_userspace_memory_region region = {
        .slot = 4,
        .flags = KVM_MEM_LOG_DIRTY_PAGES,
        .memory_size = 4 * VMFT_PAGE_BYTES,
        .userspace_addr = (uint64_t)(uintptr_t)ram.blocks[1].view.start + 2 * VMFT_PAGE_BYTES,
    };
    CHECK(kvmlog_set_region(VM, KVM_SET_USER_MEMORY_REGION, &region) == 0);
    CHECK(asked.userspace_addr == (uint64_t)(uintptr_t)ram.blocks[1].guest_view + 2 * VMFT_PAGE_BYTES);
    kvm_log[4][0] = 2;
    uint64_t *dirty = bitmap_new(PAGES);
    CHECK(kvmlog_harvest(dirty) == 1 && only(dirty, RAM_PAGES + 3, RAM_PAGES + 4));
    /* QEMU redraws from what it reads of this slot's log. */
    uint64_t qemu[1] = {0};
    struct kvm_dirty_log log = {.slot = 4, .dirty_bitmap = qemu};
    CHECK(kvmlog_get_dirty_log(VM, &log) == 0 && qemu[0] == 2);
    free(dirty);
}

static void the_second_form_of_the_call_does_the_same(void) {
    reset();
    uint64_t region[20] = {2, 0x100000, 30 * VMFT_PAGE_BYTES, (uint64_t)(uintptr_t)ram.blocks[0].view.start};
    CHECK(kvmlog_set_region(VM, VMFT_KVM_SET_USER_MEMORY_REGION2, region) == 0);
    CHECK(asked.userspace_addr == (uint64_t)(uintptr_t)ram.blocks[0].guest_view && asked.flags == KVM_MEM_LOG_DIRTY_PAGES);
    CHECK(region[3] == (uint64_t)(uintptr_t)ram.blocks[0].view.start);
    kvm_log[2][0] = 2;
    uint64_t *dirty = bitmap_new(PAGES);
    CHECK(kvmlog_harvest(dirty) == 1 && only(dirty, 1, 2));
    free(dirty);
}

static void a_slot_elsewhere_is_left_alone(void) {
    reset();
    CHECK(set(1, 0, RAM_PAGES + 1, 20) == 0);
    CHECK(asked.userspace_addr == (uint64_t)(uintptr_t)ram.blocks[0].view.start + (RAM_PAGES + 1) * VMFT_PAGE_BYTES);
    CHECK(asked.flags == 0);
    CHECK(set(1, 0, RAM_PAGES - 1, 2) == 0);
    CHECK(asked.flags == 0);
    calls = 0;
    uint64_t *dirty = bitmap_new(PAGES);
    CHECK(kvmlog_harvest(dirty) == 0 && calls == 0);
    free(dirty);
}

static void harvests_take_each_slots_log(void) {
    reset();
    set(1, 0, 10, 20);
    set(2, 0, 100, 100);
    set(3 /* an alias */, 0, 12, 4);
    kvm_log[1][0] = 1 << 5;
    kvm_log[2][1] = 1ull << 35;
    kvm_log[3][0] = 1 << 3;
    uint64_t *dirty = bitmap_new(PAGES);
    CHECK(kvmlog_harvest(dirty) == 3);
    CHECK(bitmap_count(dirty, bitmap_words(PAGES)) == 2); /* 15 twice, and 199 */
    CHECK((dirty[0] >> 15 & 1) == 1 && (dirty[3] >> 7 & 1) == 1);
    clear(dirty);
    CHECK(kvmlog_harvest(dirty) == 0 && bitmap_count(dirty, bitmap_words(PAGES)) == 0);
    answer = -EIO;
    CHECK(kvmlog_harvest(dirty) == -EIO);
    free(dirty);
}

static void a_deleted_slots_pages_are_all_dirty(void) {
    reset();
    set(1, 0, 70, 60);
    CHECK(bitmap_count(ram.pending, bitmap_words(PAGES)) == 0);
    answer = -EINVAL;
    CHECK(set(1, 0, 0, 0) == -EINVAL);
    CHECK(bitmap_count(ram.pending, bitmap_words(PAGES)) == 0);
    answer = 0;
    CHECK(set(1, 0, 0, 0) == 0);
    CHECK(only(ram.pending, 70, 130));
    calls = 0;
    uint64_t *dirty = bitmap_new(PAGES);
    CHECK(kvmlog_harvest(dirty) == 0 && calls == 0);
    free(dirty);
}

static void a_refused_slot_is_not_remembered(void) {
    reset();
    answer = -EEXIST;
    CHECK(set(1, 0, 10, 20) == -EEXIST);
    answer = 0;
    calls = 0;
    uint64_t *dirty = bitmap_new(PAGES);
    CHECK(kvmlog_harvest(dirty) == 0 && calls == 0);
    free(dirty);
}

static void what_qemu_reads_is_not_lost_to_us_nor_ours_to_qemu(void) {
    reset();
    set(1, KVM_MEM_LOG_DIRTY_PAGES, 10, 20);
    uint64_t *dirty = bitmap_new(PAGES);
    uint64_t qemu[4] = {0};
    struct kvm_dirty_log log = {.slot = 1, .dirty_bitmap = qemu};

    kvm_log[1][0] = 1 << 2;
    CHECK(kvmlog_harvest(dirty) == 1 && only(dirty, 12, 13));
    kvm_log[1][0] = 1 << 4;
    CHECK(kvmlog_get_dirty_log(VM, &log) == 0);
    CHECK(qemu[0] == (1 << 2 | 1 << 4));
    CHECK(only(ram.pending, 14, 15));
    CHECK(kvmlog_get_dirty_log(VM, &log) == 0);
    CHECK(qemu[0] == 0);

    set(1, 0, 10, 20);
    kvm_log[1][0] = 1;
    clear(dirty);
    CHECK(kvmlog_harvest(dirty) == 1);
    set(1, KVM_MEM_LOG_DIRTY_PAGES, 10, 20);
    CHECK(kvmlog_get_dirty_log(VM, &log) == 0);
    CHECK(qemu[0] == 0);
    free(dirty);
}

static void kinds_of_log_that_would_escape_us_are_denied(void) {
    reset();
    answer = 7;
    CHECK(kvmlog_check_extension(VM, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) == 0);
    CHECK(kvmlog_check_extension(VM, KVM_CAP_DIRTY_LOG_RING) == 0);
    CHECK(kvmlog_check_extension(VM, KVM_CAP_DIRTY_LOG_RING_ACQ_REL) == 0);
    CHECK(kvmlog_check_extension(VM, KVM_CAP_USER_MEMORY) == 7);
    struct kvm_enable_cap cap = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2};
    CHECK(kvmlog_enable_cap(VM, &cap) == -EINVAL);
    cap.cap = KVM_CAP_X2APIC_API;
    CHECK(kvmlog_enable_cap(VM, &cap) == 7);
    answer = 0;
    set(1, 0, 10, 20);
    struct kvm_clear_dirty_log log = {.slot = 1};
    CHECK(kvmlog_clear_dirty_log(VM, &log) == -EINVAL);
    log.slot = 5;
    CHECK(kvmlog_clear_dirty_log(VM, &log) == 0);
}

static void what_cannot_be_tracked_ends_the_process(void) {
    reset();
    if (setjmp(died) == 0) {
        set(1, 1u << 2 /* KVM_MEM_GUEST_MEMFD */, 10, 20);
        CHECK(!"a confidential guest was accepted");
    }
    pthread_mutex_unlock(&ram.lock);
}

int main(void) {
    ram.bytes = (uint64_t)RAM_PAGES * VMFT_PAGE_BYTES;
    ram.pages = PAGES;
    ram.block_count = 2;
    ram.blocks[0] = (struct ram_block){
        .view = {.start = (uint8_t *)0x7f0000000000, .bytes = ram.bytes},
        .guest_view = (uint8_t *)0x7e0000000000,
        .pages = RAM_PAGES,
    };
    ram.blocks[1] = (struct ram_block){
        .view = {.start = (uint8_t *)0x7f8000000000, .bytes = VIDEO_PAGES * VMFT_PAGE_BYTES},
        .guest_view = (uint8_t *)0x7e8000000000,
        .first_page = RAM_PAGES,
        .pages = VIDEO_PAGES,
    };
    ram.pending = bitmap_new(PAGES);
    a_slot_on_ram_moves_to_the_guest_view_and_is_logged();
    a_read_only_slot_moves_but_has_no_log();
    a_slot_on_another_block_moves_to_its_view();
    the_second_form_of_the_call_does_the_same();
    a_slot_elsewhere_is_left_alone();
    harvests_take_each_slots_log();
    a_deleted_slots_pages_are_all_dirty();
    a_refused_slot_is_not_remembered();
    what_qemu_reads_is_not_lost_to_us_nor_ours_to_qemu();
    kinds_of_log_that_would_escape_us_are_denied();
    what_cannot_be_tracked_ends_the_process();
    reset();
    free(ram.pending);
    return 0;
}
