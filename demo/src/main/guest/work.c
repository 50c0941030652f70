// Work of one kind, counted, for benchmarks: prints "work COUNT" ten times a second by the guest's clock.
// Usage: work cpu | work fsync FILE
//   cpu    a count is 64 KiB of memory hashed
//   fsync  a count is 4 KiB written at a random place of a 16 MiB file, and fdatasync
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    HASH_BYTES = 65536,
    BLOCK_BYTES = 4096,
    BLOCKS = 4096,
    REPORT_MILLIS = 100,
};

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "work: FAILED %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_millis(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t hash(const uint64_t *words, size_t count, uint64_t state) {
    for (size_t i = 0; i < count; i++) {
        state = (state ^ words[i]) * 0x100000001b3;
        state ^= state >> 29;
    }
    return state;
}

int main(int argc, char **argv) {
    int fd = -1;
    if (argc == 3 && strcmp(argv[1], "fsync") == 0) {
        fd = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0644);
        static char zeroes[BLOCK_BYTES];
        if (fd < 0) {
            fail(argv[2]);
        }
        for (int i = 0; i < BLOCKS; i++) {
            if (write(fd, zeroes, BLOCK_BYTES) != BLOCK_BYTES) {
                fail("write");
            }
        }
    } else if (argc != 2 || strcmp(argv[1], "cpu") != 0) {
        fputs("usage: work cpu | work fsync FILE\n", stderr);
        return 2;
    }
    static uint64_t buffer[HASH_BYTES / sizeof(uint64_t)];
    uint64_t state = 0xcbf29ce484222325;
    uint64_t next_report = 0;
    for (uint64_t count = 1;; count++) {
        if (fd < 0) {
            state = hash(buffer, sizeof buffer / sizeof *buffer, state);
            buffer[count % (sizeof buffer / sizeof *buffer)] = state;
        } else {
            state = state * 6364136223846793005u + 1442695040888963407u;
            buffer[0] = state;
            off_t offset = (off_t)(state >> 33) % BLOCKS * BLOCK_BYTES;
            if (pwrite(fd, buffer, BLOCK_BYTES, offset) != BLOCK_BYTES || fdatasync(fd) != 0) {
                fail("pwrite");
            }
        }
        uint64_t now = now_millis();
        if (now >= next_report) {
            next_report = now + REPORT_MILLIS;
            printf("work %llu\n", (unsigned long long)count);
            fflush(stdout);
        }
    }
}
