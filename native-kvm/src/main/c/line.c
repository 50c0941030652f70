#define _GNU_SOURCE
#include "line.h"

#include "control.h"
#include "events.h"
#include "process.h"
#include "sys.h"

#include <stdatomic.h>

static atomic_bool has_sent;

bool line_has_sent(void) {
    return atomic_load(&has_sent);
}

ssize_t line_sendmsg(int fd, const struct msghdr *message, int flags) {
    bool open = control_line_is_open();
    if ((open || !line_has_sent()) && !process_is_engines(fd)) {
        atomic_store(&has_sent, true);
        if (open) {
            events_tell_pause();
            control_await_line();
        }
    }
    ssize_t sent = sys_sendmsg(fd, message, flags);
    if (control_has_news() && process_is_engines(fd)) {
        control_tell_news();
    }
    return sent;
}
