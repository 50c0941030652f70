/*
 * QEMU says STOP before it saves its state and RESUME before it starts its processors, each with a write that wakes the engine's monitor thread on the very
 * processor QEMU's main thread runs on, and then whatever that thread wakes, while the guest stands still. So these two events of a checkpoint are put off until QEMU says something else to its
 * monitor: the command's answer, which comes as soon as the guest runs. They carry the time of what they tell.
 *
 * What else a pause has to say (control_has_news) waits for the same moment and is told first, because the guest's disks wait for it.
 */
#ifndef VMFT_EVENTS_H
#define VMFT_EVENTS_H

#include <sys/socket.h>

/* As sendmsg, to the engine's monitor and on any of QEMU's threads; an event that is put off counts as sent. Negative errno. */
ssize_t events_sendmsg(int fd, const struct msghdr *message, int flags);

/* Says what was put off, if it can be said without waiting: QEMU has not spoken for long. */
void events_tell(void);

/* This descriptor is about to be closed: what was put off is for nobody. */
void events_closing(int fd);

#endif
