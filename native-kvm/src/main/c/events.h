/*
 * QEMU says STOP before it saves its state, RESUME before it starts its processors, and answers the command with its big lock held, which the processors' threads
 * need to go on. Each of these writes wakes the engine's monitor thread on the very processor QEMU's main thread runs on, and then whatever that thread wakes, while
 * the guest stands still. So all three are put off until the main thread is about to wait for something: then it holds no lock, and the guest runs. Events carry the
 * time of what they tell.
 *
 * What else a pause has to say (control_has_news) waits for the same moment and is told first, because the guest's disks wait for it.
 */
#ifndef VMFT_EVENTS_H
#define VMFT_EVENTS_H

#include <stdbool.h>
#include <sys/socket.h>

/* As sendmsg, to the engine's monitor and on any of QEMU's threads; what is put off counts as sent. Negative errno. */
ssize_t events_sendmsg(int fd, const struct msghdr *message, int flags);

/* The pause has ended, on this thread: if it has waited before, what it says from here on is put off. */
void events_pause_ended(void);

/* This thread is about to wait in poll or ppoll: if a pause has ended on it, what there is to say is said, the news too. */
void events_thread_waits(void);

/* The same for one that waits in another way. */
void events_tell_pause(void);

/* Says what was put off, if it can be said without waiting. Returns whether nothing is put off any more. */
bool events_tell(void);

/* This descriptor is about to be closed: what was put off is for nobody. */
void events_closing(int fd);

#endif
