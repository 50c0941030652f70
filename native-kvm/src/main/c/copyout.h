/*
 * Copies of dirty pages in staging slots: made in a pause by all members of the crew, each in a slot of its own, and before it by the
 * service thread, which then stands in for the main thread.
 */
#ifndef VMFT_COPYOUT_H
#define VMFT_COPYOUT_H

#include <stdbool.h>
#include <stdint.h>

/* Copies the pages of todo for which there are slots, and takes them out of it. Does nothing if the checkpoint is void. */
void copyout_run(unsigned member, uint64_t *todo);

/*
 * Before the pause, on the service thread: the same, but no more pages than half of staging has room for. So it does not last long, and the pause finds
 * slots.
 */
void copyout_precopy(uint64_t *todo);

/* On the main thread: copies what is left in todo too, waiting for slots; false if the checkpoint is void. Adds the time it waited. */
bool copyout_rest(uint64_t *todo, uint64_t *waited_nanos);

/* When nobody copies: hands over all slots that are not full. What is copied after that comes after it. */
void copyout_hand_over(void);

/* When nobody copies: how many page indexes were handed over since the last call. */
uint64_t copyout_pages(void);

#endif
