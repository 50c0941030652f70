// Light, self-checking work for tests: dirties memory, writes and reads the disk, sends datagrams. Everything it wrote
// it later reads again and compares with what it remembers, so a page, a block or a time order lost in a takeover
// shows. Usage: load MIB FILE BROADCAST_ADDRESS; runs until it finds an error or is killed.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PAGE_BYTES = 4096,
    PAGES_PER_TICK = 64,
    BLOCK_BYTES = 16384,
    BLOCKS = 512,
    TICKS_PER_BLOCK = 4,
    TICKS_PER_REPORT = 1000,
    TICK_NANOS = 5000000,
    DISCARD_PORT = 9,
};

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static _Noreturn void fail(const char *what, uint64_t where) {
    fprintf(stderr, "load: FAILED %s %llu: %s\n", what, (unsigned long long)where, strerror(errno));
    exit(1);
}

// Writes a version's pattern over words, or compares it.
static void fill(uint64_t *words, size_t count, uint64_t version) {
    for (size_t i = 0; i < count; i++) {
        words[i] = (version + i) * 0x9e3779b97f4a7c15;
    }
}

static int matches(const uint64_t *words, size_t count, uint64_t version) {
    for (size_t i = 0; i < count; i++) {
        if (words[i] != (version + i) * 0x9e3779b97f4a7c15) {
            return 0;
        }
    }
    return 1;
}

static void work_memory(uint64_t *memory, uint64_t *versions, size_t pages) {
    size_t words = PAGE_BYTES / sizeof *memory;
    for (int i = 0; i < PAGES_PER_TICK; i++) {
        uint64_t page = next_random() % pages;
        uint64_t *content = memory + page * words;
        if (versions[page] != 0 && !matches(content, words, versions[page])) {
            errno = EILSEQ;
            fail("memory page", page);
        }
        versions[page] = next_random() | 1;
        fill(content, words, versions[page]);
    }
}

static void work_disk(int fd, uint64_t *versions) {
    static uint64_t block[BLOCK_BYTES / sizeof(uint64_t)];
    size_t words = BLOCK_BYTES / sizeof *block;
    uint64_t index = next_random() % BLOCKS;
    off_t offset = (off_t)index * BLOCK_BYTES;
    if (versions[index] != 0) {
        // Read it from the disk, not from the page cache.
        posix_fadvise(fd, offset, BLOCK_BYTES, POSIX_FADV_DONTNEED);
        if (pread(fd, block, BLOCK_BYTES, offset) != BLOCK_BYTES) {
            fail("read of block", index);
        }
        if (!matches(block, words, versions[index])) {
            errno = EILSEQ;
            fail("disk block", index);
        }
    }
    uint64_t version = next_random() | 1;
    fill(block, words, version);
    if (pwrite(fd, block, BLOCK_BYTES, offset) != BLOCK_BYTES || fdatasync(fd) != 0) {
        fail("write of block", index);
    }
    versions[index] = version;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fputs("usage: load MIB FILE BROADCAST_ADDRESS\n", stderr);
        return 2;
    }
    long mebibytes = strtol(argv[1], NULL, 10);
    if (mebibytes < 1 || mebibytes > 65536) {
        fprintf(stderr, "load: %s MiB is not between 1 and 65536\n", argv[1]);
        return 2;
    }
    size_t pages = (size_t)mebibytes * 1048576 / PAGE_BYTES;
    uint64_t *memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t *page_versions = calloc(pages, sizeof *page_versions);
    uint64_t *block_versions = calloc(BLOCKS, sizeof *block_versions);
    if (memory == MAP_FAILED || page_versions == NULL || block_versions == NULL) {
        fail("allocation of MiB", (uint64_t)mebibytes);
    }
    int file = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || ftruncate(file, (off_t)BLOCKS * BLOCK_BYTES) != 0) {
        fail("file", 0);
    }
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    int on = 1;
    setsockopt(udp, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
    struct sockaddr_in discard = {.sin_family = AF_INET, .sin_port = htons(DISCARD_PORT)};
    if (inet_pton(AF_INET, argv[3], &discard.sin_addr) != 1) {
        fprintf(stderr, "load: %s is no IPv4 address\n", argv[3]);
        return 2;
    }
    printf("load: working on %ld MiB\n", mebibytes);
    fflush(stdout);
    for (uint64_t tick = 1;; tick++) {
        work_memory(memory, page_versions, pages);
        if (tick % TICKS_PER_BLOCK == 0) {
            work_disk(file, block_versions);
        }
        // Lost datagrams are no error: nobody listens.
        sendto(udp, memory, 200, MSG_DONTWAIT, (struct sockaddr *)&discard, sizeof discard);
        if (tick % TICKS_PER_REPORT == 0) {
            printf("load: tick %llu\n", (unsigned long long)tick);
            fflush(stdout);
        }
        nanosleep(&(struct timespec){.tv_nsec = TICK_NANOS}, NULL);
    }
}
