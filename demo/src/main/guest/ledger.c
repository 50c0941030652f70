// The service that must not notice the death of its host: each request appends one numbered record to a file on the
// virtual disk, syncs it, and only then answers.
//
//   APPEND TEXT   append "N TEXT", answer "OK N"          N counts from 1
//   DUMP          answer "DUMP RECORDS BYTES", then the whole file
//   SHUTDOWN      answer "BYE", exit 0 when the answer was acknowledged; init then unmounts and powers off
//   anything else "ERR reason"
//
// One thread: a request is finished before the next is looked at, so records have one order. The number is given by
// the file alone: a restart goes on where the file ends.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    MAX_CLIENTS = 32,
    MAX_LINE = 1024,
    SEND_TIMEOUT_SECONDS = 30,
    GOODBYE_MILLIS = 10000,
};

struct client {
    int fd;
    size_t held; // bytes of a line that is not whole yet
    char line[MAX_LINE];
};

struct ledger {
    int fd;
    uint64_t records;
    off_t bytes;
};

static _Noreturn void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("ledger: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

// Counts the records and checks their numbers. A last line without its end was never acknowledged: it is cut off.
static void ledger_open(struct ledger *ledger, const char *path) {
    ledger->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (ledger->fd < 0) {
        die("%s: %s", path, strerror(errno));
    }
    FILE *in = fopen(path, "re");
    if (in == NULL) {
        die("%s: %s", path, strerror(errno));
    }
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    while ((length = getline(&line, &capacity, in)) > 0 && line[length - 1] == '\n') {
        char *end;
        uint64_t number = strtoull(line, &end, 10);
        if (end == line || *end != ' ' || number != ledger->records + 1) {
            die("%s: record %llu is not where it should be", path, (unsigned long long)ledger->records + 1);
        }
        ledger->records = number;
        ledger->bytes += length;
    }
    free(line);
    fclose(in);
    if (ftruncate(ledger->fd, ledger->bytes) != 0 || fsync(ledger->fd) != 0) {
        die("%s: %s", path, strerror(errno));
    }
    // The file's name must survive too.
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int directory = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || fsync(directory) != 0) {
        die("the folder of %s: %s", path, strerror(errno));
    }
    close(directory);
}

// Returns 0 when the record is on the disk, else an errno, with the file as before.
static int ledger_append(struct ledger *ledger, const char *text) {
    char record[MAX_LINE + 32];
    int length = snprintf(record, sizeof record, "%llu %s\n", (unsigned long long)ledger->records + 1, text);
    ssize_t written = write(ledger->fd, record, (size_t)length);
    if (written != length) {
        int error = written < 0 ? errno : ENOSPC;
        if (ftruncate(ledger->fd, ledger->bytes) != 0) {
            die("cannot take back half a record: %s", strerror(errno));
        }
        return error;
    }
    // What a failed sync left on the disk is unknown, and a second one would lie: stop.
    if (fdatasync(ledger->fd) != 0) {
        die("sync: %s", strerror(errno));
    }
    ledger->records++;
    ledger->bytes += length;
    return 0;
}

static bool send_all(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
        bytes += sent;
        length -= (size_t)sent;
    }
    return true;
}

static bool answer(int fd, const char *format, ...) {
    char line[256];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return send_all(fd, line, (size_t)length);
}

static bool dump(int fd, const struct ledger *ledger) {
    if (!answer(fd, "DUMP %llu %lld\n", (unsigned long long)ledger->records, (long long)ledger->bytes)) {
        return false;
    }
    off_t offset = 0;
    while (offset < ledger->bytes) {
        ssize_t sent = sendfile(fd, ledger->fd, &offset, (size_t)(ledger->bytes - offset));
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
    }
    return true;
}

// The client must have the last word before the machine goes: waits, bounded, until it acknowledged every byte.
static _Noreturn void say_goodbye(int fd) {
    answer(fd, "BYE\n");
    shutdown(fd, SHUT_WR);
    for (int waited = 0; waited < GOODBYE_MILLIS; waited += 10) {
        int unacknowledged = 0;
        if (ioctl(fd, SIOCOUTQ, &unacknowledged) != 0 || unacknowledged == 0) {
            break;
        }
        poll(NULL, 0, 10);
    }
    exit(0);
}

static bool printable(const char *text) {
    for (; *text != '\0'; text++) {
        if (*text < 0x20 || *text > 0x7e) {
            return false;
        }
    }
    return true;
}

// Returns false when the client is to be dropped.
static bool serve(int fd, const char *line, size_t length, struct ledger *ledger) {
    if (strlen(line) != length) {
        return answer(fd, "ERR only printable ASCII\n");
    }
    if (strncmp(line, "APPEND ", 7) == 0) {
        if (!printable(line + 7)) {
            return answer(fd, "ERR only printable ASCII\n");
        }
        int error = ledger_append(ledger, line + 7);
        return error == 0 ? answer(fd, "OK %llu\n", (unsigned long long)ledger->records)
                          : answer(fd, "ERR %s\n", strerror(error));
    }
    if (strcmp(line, "DUMP") == 0) {
        return dump(fd, ledger);
    }
    if (strcmp(line, "SHUTDOWN") == 0) {
        say_goodbye(fd);
    }
    return answer(fd, "ERR unknown request\n");
}

// Returns false when the client has gone or is to be dropped.
static bool readable(struct client *client, struct ledger *ledger) {
    ssize_t got = recv(client->fd, client->line + client->held, sizeof client->line - client->held, MSG_DONTWAIT);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (got == 0) {
        return false;
    }
    client->held += (size_t)got;
    char *start = client->line;
    size_t left = client->held;
    char *end;
    while ((end = memchr(start, '\n', left)) != NULL) {
        *end = '\0';
        if (!serve(client->fd, start, (size_t)(end - start), ledger)) {
            return false;
        }
        left -= (size_t)(end + 1 - start);
        start = end + 1;
    }
    if (left == sizeof client->line) {
        answer(client->fd, "ERR a line is at most %d bytes\n", MAX_LINE - 1);
        return false;
    }
    memmove(client->line, start, left);
    client->held = left;
    return true;
}

// Port 0 takes a free one and says which.
static int listen_on(uint16_t *port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    socklen_t length = sizeof(struct sockaddr_in);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = INADDR_ANY};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0
        || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, MAX_CLIENTS) != 0
        || getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        die("port %u: %s", *port, strerror(errno));
    }
    *port = ntohs(address.sin_port);
    return fd;
}

static void welcome(int listener, struct client **clients, size_t *count) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct client *client = *count < MAX_CLIENTS ? calloc(1, sizeof *client) : NULL;
    if (client == NULL) {
        answer(fd, "ERR at most %d clients\n", MAX_CLIENTS);
        close(fd);
        return;
    }
    int on = 1;
    struct timeval timeout = {.tv_sec = SEND_TIMEOUT_SECONDS};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    client->fd = fd;
    clients[(*count)++] = client;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        die("usage: ledger FILE PORT");
    }
    signal(SIGPIPE, SIG_IGN);
    char *end;
    unsigned long number = strtoul(argv[2], &end, 10);
    if (end == argv[2] || *end != '\0' || number > UINT16_MAX) {
        die("%s is no port", argv[2]);
    }
    uint16_t port = (uint16_t)number;
    struct ledger ledger = {.fd = -1};
    ledger_open(&ledger, argv[1]);
    int listener = listen_on(&port);
    printf("ledger: ready on port %u, %llu records\n", port, (unsigned long long)ledger.records);
    fflush(stdout);

    struct client *clients[MAX_CLIENTS];
    size_t count = 0;
    for (;;) {
        struct pollfd polled[MAX_CLIENTS + 1] = {{.fd = listener, .events = POLLIN}};
        for (size_t i = 0; i < count; i++) {
            polled[i + 1] = (struct pollfd){.fd = clients[i]->fd, .events = POLLIN};
        }
        if (poll(polled, count + 1, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            die("poll: %s", strerror(errno));
        }
        // Backwards, so that a dropped client's place can be filled with the last one, which was looked at already.
        for (size_t i = count; i-- > 0;) {
            if (polled[i + 1].revents != 0 && !readable(clients[i], &ledger)) {
                close(clients[i]->fd);
                free(clients[i]);
                clients[i] = clients[--count];
            }
        }
        if (polled[0].revents != 0) {
            welcome(listener, clients, &count);
        }
    }
}
