/* The guest's clocks against a KVM that is not there: sys_ioctl is this file's. */
#include "check.h"
#include "control.h"
#include "guesttime.h"
#include "sys.h"

#include <linux/kvm.h>
#include <string.h>

static uint64_t ahead;
static uint64_t clock_set;
static uint64_t msrs_set[3];
static long khz = 2000000;

uint64_t control_clock_ahead(void) {
    return ahead;
}

long sys_ioctl(int fd, unsigned long request, void *arg) {
    CHECK(fd == 7);
    if (request == KVM_SET_CLOCK) {
        clock_set = ((struct kvm_clock_data *)arg)->clock;
    } else if (request == KVM_SET_MSRS) {
        struct kvm_msrs *msrs = arg;
        CHECK(msrs->nmsrs == 3 && msrs->entries[1].index == 0x10);
        for (unsigned i = 0; i < 3; i++) {
            msrs_set[i] = msrs->entries[i].data;
        }
        return 3;
    } else if (request == KVM_GET_TSC_KHZ) {
        return khz;
    }
    return 0;
}

static void set(void) {
    struct kvm_clock_data clock = {.clock = 1000};
    CHECK(guesttime_set_clock(7, &clock) == 0 && clock.clock == 1000);
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entries[3];
    } msrs = {.head = {.nmsrs = 3}, .entries = {{.index = 1, .data = 5}, {.index = 0x10, .data = 6}, {.index = 0x11, .data = 7}}};
    CHECK(guesttime_set_msrs(7, &msrs) == 3 && msrs.entries[1].data == 6);
}

int main(void) {
    set();
    CHECK(clock_set == 1000 && msrs_set[1] == 6);
    ahead = 1500000000;
    set();
    CHECK(clock_set == 1500001000);
    CHECK(msrs_set[0] == 5 && msrs_set[1] == 6 + 3000000000ull && msrs_set[2] == 7);
    /* An hour: no overflow on the way. */
    ahead = 3600ull * 1000000000u;
    khz = 5000000;
    set();
    CHECK(msrs_set[1] == 6 + 3600ull * 5000000000u);
    khz = -22;
    set();
    CHECK(msrs_set[1] == 6);
    return 0;
}
