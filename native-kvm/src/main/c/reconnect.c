#define _GNU_SOURCE
#include "reconnect.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>

/* As often as the engine asks for the same server. */
#define BETWEEN_ATTEMPTS_NANOS 200000000

/* One more a second after the first, and two seconds for its answer. */
static const int syn_retries = 1;

unsigned reconnect_sleep(unsigned seconds) {
    struct timespec pause = {.tv_nsec = seconds == 0 ? 0 : BETWEEN_ATTEMPTS_NANOS};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, &pause) == EINTR) {
    }
    return 0;
}

void reconnect_begins(int fd, int family) {
    if (family == AF_INET || family == AF_INET6) {
        int saved = errno;
        setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &syn_retries, sizeof syn_retries);
        errno = saved;
    }
}
