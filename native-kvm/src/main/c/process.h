/* Whether this process is the QEMU an engine started, and what ends it when the engine does. */
#ifndef VMFT_PROCESS_H
#define VMFT_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* False in every other process, and before the library's start is done. */
bool process_guarded(void);

/* Whether the socket's other end is the engine, in a guarded process. */
bool process_is_engines(int socket);

#endif
