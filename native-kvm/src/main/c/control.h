/*
 * The library's end of the control socket, and where each epoch stands.
 *
 *            ARM              state file opened         pause_end         SEALED
 *   IDLE ──────────▶ ARMED ─────────────────▶ PAUSED ─────────────▶ DONE ─────────▶ DONE, sealed
 *     ▲                │ VOID                                         │               │ ARM: ARMED again
 *     └────────────────┘                                              │ VOID: IDLE, its pages are taken back
 *     └───────────────────────────────────────────────────────────────┴───────────────┘
 *
 * The line of an epoch in DONE is open until it is sealed: its pause is over, and what QEMU sends to its disks waits.
 *
 * What is dirty can be copied in ARMED already: the pre-copy. Its pages belong to the epoch; a VOID takes them back too.
 *
 * The socket is read by the library's service thread, except in a pause or while one of QEMU's threads waits for a line: that thread then reads it
 * itself, so as not to wait for another one to be scheduled. A thread that wants to know something (control_clock_ahead, say) reads what has arrived
 * at any time. The end of the connection, or a message that makes no sense, ends the process.
 */
#ifndef VMFT_CONTROL_H
#define VMFT_CONTROL_H

#include "vmft.h"

#include <stdbool.h>
#include <stdint.h>

/* Connects. Negative errno. */
int control_connect(const char *path);

/* What the service thread does when the engine asks for it. */
struct control_service {
    void (*harvest_live)(uint64_t sequence, bool touched);
    /* Copies what is dirty, for the epoch that is armed. No pause begins meanwhile. */
    void (*precopy)(void);
};

/* Greets and starts the service thread. Negative errno. */
int control_start(struct control_service service);

/* In a forked child: forgets the connection. */
void control_abandon(void);

/* Reads what has arrived and returns whether the next opening of the state file is a pause. */
bool control_armed(void);

/* From ARMED to PAUSED, when no pre-copy is under way. Returns whether there was one for this epoch. */
bool control_pause_begin(void);

/* Between these two the service thread does not read the socket. */
void control_read_here(bool here);

/* Whether the engine has said that the pause's epoch is void. */
bool control_voided(void);

/*
 * The chunks of a pause and its end are news: told when QEMU's main thread next waits, or QEMU says something to the engine that is not put off until then (events.h), so
 * that until the guest runs the engine's threads take no processor from it; when the pause itself waits for the engine; when there are many. Where there are none, none are told.
 */
bool control_has_news(void);
void control_tell_news(void);

/* Waits for a message until the deadline (CLOCK_MONOTONIC); false if it passes first. News are told before. */
bool control_wait(uint64_t deadline_nanos);

/* From PAUSED to DONE, its line open, or to IDLE if the checkpoint is void. It is news, with values by enum vmft_harvested. */
void control_pause_end(bool valid, const uint64_t values[VMFT_VALUES]);

/* Whether control_await_line would wait; as cheap as can be. */
bool control_line_is_open(void);

/* Waits until the line of the epoch that ended is drawn, or it is void. Not in a pause. */
void control_await_line(void);

/* Reports a live harvest; another may be asked for. */
void control_live_done(uint64_t sequence, uint64_t dirty_pages);

/* Reads what has arrived and takes a slot, on any thread, in a pause or a pre-copy; -1 if the engine has all, or gave the pre-copy's epoch up. */
int control_take_slot(void);

/* Hands over a slot that was taken: so many page indexes, so many pages. */
void control_chunk(uint32_t slot, uint32_t count, uint32_t stored);

/* In a pause: whether the engine asked for digests of all memory. */
bool control_digests_asked(void);

/* Reads what has arrived and returns by how much a restored guest's clocks are to be ahead, nanoseconds. */
uint64_t control_clock_ahead(void);

/* Reports that digests are in the staging file. */
void control_digests_done(uint64_t count);

/* Reports a block of memory beside guest RAM. */
void control_block(unsigned number, uint64_t bytes);

/* Tells the engine and the operator, and ends the process: a VM that cannot be tracked must not run. */
_Noreturn void control_die(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
