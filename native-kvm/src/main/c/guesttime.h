/*
 * The guest's clocks after a takeover: kvm-clock and the time stamp counters are set to where the checkpoint had them, plus the time that has
 * passed since, as the engine says. So they jump forward, and are not behind the host's.
 */
#ifndef VMFT_GUESTTIME_H
#define VMFT_GUESTTIME_H

/* QEMU's ioctls, in their place; negative errno. */
long guesttime_set_clock(int vm, const void *clock);
long guesttime_set_msrs(int vcpu, void *msrs);

#endif
