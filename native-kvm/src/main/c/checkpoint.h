/*
 * Harvests: in the pause that QEMU's saving of the state file makes, before it, and live. The VM is stopped and drained when QEMU opens
 * the file, and still stopped when it has closed it.
 */
#ifndef VMFT_CHECKPOINT_H
#define VMFT_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

/* False if memory runs out. Call after ram_init. */
bool checkpoint_init(const char *state_file);

/* Whether opening path with flags is QEMU's way of saying that it saves its state: then checkpoint_state_file is to be opened. */
bool checkpoint_saves_state(const char *path, int flags);
const char *checkpoint_state_file(void);

/* Whether opening the state file now begins a pause. */
bool checkpoint_begins(void);

/* It was opened. */
void checkpoint_opened(int fd);

/* Whether closing fd ends the pause. */
bool checkpoint_is_state(int fd);

/* It was closed: harvests and copies. */
void checkpoint_closed(void);

/* The checkpoint that ended last did not become one: its pages are dirty again. */
void checkpoint_take_back(void);

/*
 * On the service thread, while an epoch is armed and no pause is: copies what is dirty, as far as there are slots. What is written again
 * counts as dirty again, and is found in the pause.
 */
void checkpoint_precopy(void);

/* On the service thread. If touched, what is reported is not what was dirty but every page the guest has ever touched. */
void checkpoint_harvest_live(uint64_t sequence, bool touched);

/* QEMU has read KVM's clock, which it does when it stops the VM. */
void checkpoint_clock_read(void);

/*
 * Whether QEMU is about to set KVM's clock back to where an epoch's pause began. The guest's time must not lose its pauses:
 * KVM's clock went on, and so it stays.
 */
bool checkpoint_keeps_clock(void);

#endif
