#define _GNU_SOURCE
#include "process.h"

#include "checkpoint.h"
#include "control.h"
#include "crew.h"
#include "pagemap.h"
#include "ram.h"
#include "staging.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool guarded;
static pid_t engine;

bool process_guarded(void) {
    return guarded;
}

bool process_is_engines(int socket) {
    struct ucred peer;
    socklen_t bytes = sizeof peer;
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 && peer.pid == engine;
}

static bool is_qemu(void) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0) {
        return false;
    }
    path[length] = '\0';
    const char *name = strrchr(path, '/');
    return name != NULL && (strstr(name, "qemu-system") != NULL || strstr(name, "qemu-kvm") != NULL);
}

/*
 * The kernel sends the parent-death signal when the thread that started QEMU ends, not only when its process does; so it is
 * a signal with a handler that looks whose child this is now.
 */
static void parent_thread_ended(int signal) {
    (void)signal;
    if (getppid() != engine) {
        kill(getpid(), SIGKILL);
    }
}

static void die_with_engine(void) {
    struct sigaction action = {.sa_handler = parent_thread_ended, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGRTMAX, &action, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGRTMAX) < 0) {
        control_die(errno, "cannot ask for a signal at the engine's death");
    }
    if (getppid() != engine) {
        control_die(ESRCH, "QEMU must be the child of the engine, process %d, but its parent is %d: the engine died, or "
                           "a program stands between them",
            (int)engine, (int)getppid());
    }
}

static void forget_in_child(void) {
    if (guarded) {
        guarded = false;
        control_abandon();
    }
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    if (value == NULL || *value == '\0') {
        control_die(EINVAL, "environment variable %s is not set; it belongs beside VMFT_CONTROL", name);
    }
    char *copy = strdup(value);
    if (copy == NULL) {
        control_die(ENOMEM, "no memory for the value of %s", name);
    }
    return copy;
}

static pid_t engine_pid(void) {
    const char *text = variable("VMFT_PARENT_PID");
    char *end;
    errno = 0;
    long pid = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || pid <= 0 || pid != (pid_t)pid) {
        control_die(EINVAL, "VMFT_PARENT_PID is %s, which is no process id", text);
    }
    return (pid_t)pid;
}

__attribute__((constructor)) static void start(void) {
    if (getenv("VMFT_CONTROL") == NULL || !is_qemu()) {
        return;
    }
    const char *control = variable("VMFT_CONTROL");
    const char *staging_file = variable("VMFT_STAGING");
    const char *state_file = variable("VMFT_STATE_FILE");
    const char *ram_file = variable("VMFT_RAM");
    const char *blocks_file = variable("VMFT_BLOCKS");
    int threads = crew_size(getenv("VMFT_CREW"));
    if (threads < 0) {
        control_die(-threads, "environment variable VMFT_CREW is a number of threads from 0 to %u", CREW_MAX_THREADS);
    }
    engine = engine_pid();
    /* What QEMU starts is not guarded. */
    static const char *const names[] = {
        "LD_PRELOAD", "VMFT_CONTROL", "VMFT_STAGING", "VMFT_STATE_FILE", "VMFT_RAM", "VMFT_BLOCKS",
        "VMFT_PARENT_PID", "VMFT_CREW"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unsetenv(names[i]);
    }

    die_with_engine();
    int error = control_connect(control);
    if (error < 0) {
        control_die(-error, "cannot connect to the engine at %s", control);
    }
    const char *wrong;
    error = staging_open(staging_file, &wrong);
    if (error < 0) {
        control_die(-error, "staging file %s: %s", staging_file, wrong);
    }
    error = ram_init(ram_file, staging.header.ram_bytes, blocks_file, staging.header.blocks_bytes, &wrong);
    if (error < 0) {
        control_die(-error, "%s", wrong);
    }
    if (!checkpoint_init(state_file)) {
        control_die(ENOMEM, "no memory for bitmaps of %s", ram_file);
    }
    error = pagemap_open(&wrong);
    if (error < 0) {
        control_die(-error, "%s", wrong);
    }
    error = pthread_atfork(NULL, NULL, forget_in_child);
    if (error != 0) {
        control_die(error, "cannot watch for forks");
    }
    guarded = true;
    error = control_start((struct control_service){checkpoint_harvest_live, checkpoint_precopy});
    if (error < 0) {
        control_die(-error, "cannot start the library's thread");
    }
    error = crew_start((unsigned)threads);
    if (error < 0) {
        control_die(-error, "cannot start the threads that help in a pause");
    }
}
