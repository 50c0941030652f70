/*
 * Threads that share the work of a pause with QEMU's main thread: one for each processor beside that thread's, three at the most. The
 * main thread is member 0.
 *
 * Two things can be done with them. A job is cut into tasks, which every member takes until there are none; the one that runs the job
 * takes part and returns when all are done. And one thread can be asked to lead: it does something of its own, jobs included, while the
 * main thread goes on, and the main thread takes part in these jobs when it comes back.
 */
#ifndef VMFT_CREW_H
#define VMFT_CREW_H

#include <stdint.h>

#define CREW_MAX_THREADS 3u
/* The threads and QEMU's main thread. */
#define CREW_MEMBERS (CREW_MAX_THREADS + 1)

/* Starts so many threads. Negative errno. */
int crew_start(unsigned threads);

/* As many as this process has processors for, or as many as wanted says, a number of threads; negative errno if it is none. */
int crew_size(const char *wanted);

typedef void crew_task(unsigned member, uint32_t task);

/* Does tasks 0 to count - 1, each once, on any member. One job at a time: by the member that leads, or by the main thread when none does. */
void crew_run(unsigned member, crew_task *task, uint32_t count);

/*
 * On the main thread: one of the threads is to call lead soon. Only with two threads or more: what else a pause waits for, the block
 * server's answer, needs a processor too, and was later by more than this saves where there are two.
 */
void crew_ask(void (*lead)(unsigned member));

/* Returns when it has done so, having taken part. If none had begun, none will. */
void crew_join(void);

#endif
