/*
 * Pages written by vCPUs under KVM. KVM's slots that lie on the guest's RAM file are moved to the library's view of it and
 * logged always; the log is read slot by slot. Slots on other guest-visible memory likewise. See Documentation/virt/kvm/api.rst.
 *
 * QEMU is told that KVM has neither manual dirty log protection nor dirty rings, so reading a slot's log also clears it.
 */
#ifndef VMFT_KVMLOG_H
#define VMFT_KVMLOG_H

#include <stdbool.h>
#include <stdint.h>

/* QEMU's ioctls, in its place; what they return is what QEMU's ioctl returns, or negative errno. */
long kvmlog_set_region(int vm, unsigned long request, const void *region);
long kvmlog_get_dirty_log(int vm, void *log);
long kvmlog_clear_dirty_log(int vm, void *log);
long kvmlog_check_extension(int fd, unsigned long capability);
long kvmlog_enable_cap(int fd, void *cap);

/* Adds the pages written since the last call to dirty; returns their number or negative errno. The caller holds ram.lock. */
int64_t kvmlog_harvest(uint64_t *dirty);

/* The requests above, for the switch in interpose.c. */
#define VMFT_KVM_SET_USER_MEMORY_REGION2 0x40a0ae49ul

#endif
