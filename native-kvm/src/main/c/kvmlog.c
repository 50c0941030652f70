#include "kvmlog.h"

#include "bitmap.h"
#include "control.h"
#include "ram.h"
#include "sys.h"
#include "vmft.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

/* Newer than the headers of Debian 12. */
#ifndef KVM_MEM_GUEST_MEMFD
#define KVM_MEM_GUEST_MEMFD (1u << 2)
#endif

struct region2 {
    uint32_t slot;
    uint32_t flags;
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
    uint64_t guest_memfd_offset;
    uint32_t guest_memfd;
    uint32_t pad1;
    uint64_t pad2[14];
};
static_assert(sizeof(struct region2) == 160, "struct kvm_userspace_memory_region2");
static_assert(VMFT_KVM_SET_USER_MEMORY_REGION2 == _IOW(KVMIO, 0x49, struct region2), "KVM_SET_USER_MEMORY_REGION2");
static_assert(offsetof(struct region2, guest_memfd_offset) == sizeof(struct kvm_userspace_memory_region),
    "region2 begins as region does");

/* A slot on guest-visible memory. Two slots may lie on the same pages: SMM's address space, aliases below 1 MiB. */
struct slot {
    bool used;
    uint32_t id; /* with the address space in the upper half, as KVM takes it */
    uint64_t first_page;
    uint64_t pages;
    uint64_t *log; /* filled by KVM */
    /* If QEMU wants this slot logged too: what harvests took from KVM's log since QEMU read it; else NULL. */
    uint64_t *owed_to_qemu;
};

#define SLOTS 512u

/* All guarded by ram.lock. */
static struct slot slots[SLOTS];
static int vm_fd = -1;

static struct slot *find(uint32_t id) {
    for (struct slot *s = slots; s < slots + SLOTS; s++) {
        if (s->used && s->id == id) {
            return s;
        }
    }
    return NULL;
}

static struct slot *find_unused(void) {
    for (struct slot *s = slots; s < slots + SLOTS; s++) {
        if (!s->used) {
            return s;
        }
    }
    control_die(ENOSPC, "QEMU made more than %u KVM slots; use a simpler machine", SLOTS);
}

static void forget(struct slot *s) {
    free(s->log);
    free(s->owed_to_qemu);
    *s = (struct slot){0};
}

static uint64_t *new_bitmap(uint64_t pages) {
    uint64_t *map = bitmap_new(pages);
    if (map == NULL) {
        control_die(ENOMEM, "no memory for the dirty log of %llu pages", (unsigned long long)pages);
    }
    return map;
}

static long delete_slot(int vm, unsigned long request, const struct region2 *region) {
    struct slot *s = find(region->slot);
    long r = sys_ioctl(vm, request, (void *)region);
    if (r >= 0 && s != NULL) {
        /* vCPUs may have written to the slot up to this moment, and its log is gone: no reading before could be complete. */
        bitmap_set_range(ram.pending, s->first_page, s->first_page + s->pages);
        forget(s);
    }
    return r;
}

static long make_or_change_slot(
    int vm, unsigned long request, struct region2 *region, const struct ram_block *block, uint64_t first_page) {
    if (vm_fd >= 0 && vm_fd != vm) {
        control_die(EINVAL, "QEMU made a second KVM virtual machine on the same guest RAM");
    }
    if ((region->flags & KVM_MEM_GUEST_MEMFD) != 0) {
        control_die(ENOTSUP, "confidential guests cannot be protected: their memory is not readable");
    }
    uint64_t offset = region->userspace_addr - (uint64_t)(uintptr_t)block->view.start;
    region->userspace_addr = (uint64_t)(uintptr_t)block->guest_view + offset;
    if ((region->flags & KVM_MEM_READONLY) != 0) {
        /* No vCPU writes there as long as the slot stands; what QEMU writes comes through its own view. */
        return sys_ioctl(vm, request, region);
    }
    bool qemu_logs = (region->flags & KVM_MEM_LOG_DIRTY_PAGES) != 0;
    region->flags |= KVM_MEM_LOG_DIRTY_PAGES;
    long r = sys_ioctl(vm, request, region);
    if (r < 0) {
        return r;
    }
    vm_fd = vm;
    struct slot *s = find(region->slot);
    if (s == NULL) {
        s = find_unused();
        s->used = true;
        s->id = region->slot;
        s->first_page = first_page;
        s->pages = region->memory_size / VMFT_PAGE_BYTES;
        s->log = new_bitmap(s->pages);
    }
    if (qemu_logs && s->owed_to_qemu == NULL) {
        s->owed_to_qemu = new_bitmap(s->pages);
    } else if (!qemu_logs) {
        free(s->owed_to_qemu);
        s->owed_to_qemu = NULL;
    }
    return r;
}

long kvmlog_set_region(int vm, unsigned long request, const void *argument) {
    struct region2 region = {0};
    memcpy(&region, argument,
        request == VMFT_KVM_SET_USER_MEMORY_REGION2 ? sizeof region : sizeof(struct kvm_userspace_memory_region));
    uint64_t first_page;
    long r;
    pthread_mutex_lock(&ram.lock);
    if (region.memory_size == 0) {
        r = delete_slot(vm, request, &region);
    } else {
        const struct ram_block *block = ram_block_of(region.userspace_addr, region.memory_size, &first_page);
        r = block != NULL ? make_or_change_slot(vm, request, &region, block, first_page)
                          : sys_ioctl(vm, request, (void *)argument);
    }
    pthread_mutex_unlock(&ram.lock);
    return r;
}

long kvmlog_get_dirty_log(int vm, void *argument) {
    struct kvm_dirty_log *log = argument;
    pthread_mutex_lock(&ram.lock);
    long r = sys_ioctl(vm, KVM_GET_DIRTY_LOG, log);
    struct slot *s = vm == vm_fd ? find(log->slot) : NULL;
    if (r >= 0 && s != NULL) {
        bitmap_or_at(ram.pending, s->first_page, log->dirty_bitmap, s->pages);
        if (s->owed_to_qemu != NULL) {
            size_t words = bitmap_words(s->pages);
            bitmap_or(log->dirty_bitmap, s->owed_to_qemu, words);
            memset(s->owed_to_qemu, 0, words * sizeof *s->owed_to_qemu);
        }
    }
    pthread_mutex_unlock(&ram.lock);
    return r;
}

long kvmlog_clear_dirty_log(int vm, void *argument) {
    const struct kvm_clear_dirty_log *log = argument;
    pthread_mutex_lock(&ram.lock);
    bool ours = vm == vm_fd && find(log->slot) != NULL;
    pthread_mutex_unlock(&ram.lock);
    /* Belongs to manual protection, which was denied. */
    return ours ? -EINVAL : sys_ioctl(vm, KVM_CLEAR_DIRTY_LOG, argument);
}

static bool denied(unsigned long capability) {
    return capability == KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 || capability == KVM_CAP_DIRTY_LOG_RING
        || capability == KVM_CAP_DIRTY_LOG_RING_ACQ_REL;
}

long kvmlog_check_extension(int fd, unsigned long capability) {
    return denied(capability) ? 0 : sys_ioctl(fd, KVM_CHECK_EXTENSION, (void *)capability);
}

long kvmlog_enable_cap(int fd, void *argument) {
    const struct kvm_enable_cap *cap = argument;
    return denied(cap->cap) ? -EINVAL : sys_ioctl(fd, KVM_ENABLE_CAP, argument);
}

int64_t kvmlog_harvest(uint64_t *dirty) {
    int64_t pages = 0;
    for (struct slot *s = slots; s < slots + SLOTS; s++) {
        if (!s->used) {
            continue;
        }
        struct kvm_dirty_log log = {.slot = s->id, .dirty_bitmap = s->log};
        long r = sys_ioctl(vm_fd, KVM_GET_DIRTY_LOG, &log);
        if (r < 0) {
            return r;
        }
        size_t words = bitmap_words(s->pages);
        uint64_t found = bitmap_count(s->log, words);
        if (found == 0) {
            continue;
        }
        pages += (int64_t)found;
        bitmap_or_at(dirty, s->first_page, s->log, s->pages);
        if (s->owed_to_qemu != NULL) {
            bitmap_or(s->owed_to_qemu, s->log, words);
        }
    }
    return pages;
}
