#include "guesttime.h"

#include "control.h"
#include "sys.h"

#include <linux/kvm.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MSR_TSC 0x10u

long guesttime_set_clock(int vm, const void *argument) {
    struct kvm_clock_data data;
    memcpy(&data, argument, sizeof data);
    data.clock += control_clock_ahead();
    return sys_ioctl(vm, KVM_SET_CLOCK, &data);
}

static uint64_t ticks_of(int vcpu, uint64_t nanos) {
    long khz = sys_ioctl(vcpu, KVM_GET_TSC_KHZ, NULL);
    return khz <= 0 ? 0 : (uint64_t)((unsigned __int128)nanos * (uint64_t)khz / 1000000u);
}

long guesttime_set_msrs(int vcpu, void *argument) {
    uint64_t ahead = control_clock_ahead();
    if (ahead == 0) {
        return sys_ioctl(vcpu, KVM_SET_MSRS, argument);
    }
    const struct kvm_msrs *given = argument;
    size_t bytes = sizeof *given + given->nmsrs * sizeof given->entries[0];
    struct kvm_msrs *msrs = malloc(bytes);
    if (msrs == NULL) {
        return sys_ioctl(vcpu, KVM_SET_MSRS, argument);
    }
    memcpy(msrs, given, bytes);
    for (uint32_t i = 0; i < msrs->nmsrs; i++) {
        if (msrs->entries[i].index == MSR_TSC) {
            msrs->entries[i].data += ticks_of(vcpu, ahead);
        }
    }
    long r = sys_ioctl(vcpu, KVM_SET_MSRS, msrs);
    free(msrs);
    return r;
}
