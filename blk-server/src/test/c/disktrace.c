/*
 * Preloaded into a block server by tests: writes every change below one folder into a trace, with its bytes and in one order, so that
 * the disk can be rebuilt as a power cut at any point may leave it (docs/decisions/crash-points.md). Not part of the product.
 *
 *   VMFT_TRACE_ROOT        the folder, absolute and without links
 *   VMFT_TRACE_FILE        the trace; appended to, by one process after the other
 *   VMFT_TRACE_SYNC_MICROS how long a sync takes at least, so that others write meanwhile as they would on a real disk
 *   VMFT_TRACE_KILL_AFTER  SIGKILL for this process instead of its change number N; 0: never
 *
 * A change and its record are one step under one lock. A sync is two records: it covers what stands before the first of them, and
 * holds from the second on. A call that changes a file in a way that is not recorded ends the process with a message.
 *
 * A record, little-endian: u32 kind, u32 bytes that follow it, u64 inode, i64 offset, i64 length; then data or names.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_FDS 65536
#define EXIT_UNRECORDED 86

enum kind { CREATE = 1, MKDIR, UNLINK, RMDIR, RENAME, WRITE, ZERO, SIZE, RESERVE, SYNC_BEGIN, SYNC_END };

struct record {
    uint32_t kind;
    uint32_t bytes;
    uint64_t inode;
    int64_t offset;
    int64_t length;
};
_Static_assert(sizeof(struct record) == 32, "the reader's record");

/* What an open descriptor is; directories by their name below the root. */
struct open_file {
    bool tracked;
    uint64_t inode;
    char *directory;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct open_file files[MAX_FDS];
static char root[PATH_MAX];
static size_t root_length;
static int trace = -1;
static long sync_micros;
static long kill_after;
static long changes;
static int64_t syncs;

#define REAL(result, name, ...)                                                                                                            \
    static result (*real_##name)(__VA_ARGS__);
REAL(int, openat, int, const char *, int, ...)
REAL(int, close, int)
REAL(int, dup, int)
REAL(int, dup2, int, int)
REAL(int, dup3, int, int, int)
REAL(int, fcntl, int, int, ...)
REAL(ssize_t, write, int, const void *, size_t)
REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
REAL(ssize_t, writev, int, const struct iovec *, int)
REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t)
REAL(int, renameat2, int, const char *, int, const char *, unsigned)
REAL(int, unlinkat, int, const char *, int)
REAL(int, mkdirat, int, const char *, mode_t)
REAL(int, ftruncate, int, off_t)
REAL(int, fallocate, int, int, off_t, off_t)
REAL(int, fsync, int)
REAL(int, fdatasync, int)
REAL(void *, mmap, void *, size_t, int, int, int, off_t)
REAL(FILE *, fopen, const char *, const char *)
REAL(ssize_t, sendfile, int, int, off_t *, size_t)
REAL(ssize_t, copy_file_range, int, off_t *, int, off_t *, size_t, unsigned)
REAL(int, linkat, int, const char *, int, const char *, int)
REAL(int, symlinkat, const char *, int, const char *)

static void die(const char *what) {
    char line[256];
    int length = snprintf(line, sizeof line, "disktrace: %s\n", what);
    syscall(SYS_write, 2, line, (size_t)length);
    syscall(SYS_exit_group, EXIT_UNRECORDED);
}

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) {
        die(name);
    }
    return found;
}

static void start(void) {
#define FIND(name) real_##name = next(#name)
    FIND(openat);
    FIND(close);
    FIND(dup);
    FIND(dup2);
    FIND(dup3);
    FIND(fcntl);
    FIND(write);
    FIND(pwrite);
    FIND(writev);
    FIND(pwritev);
    FIND(renameat2);
    FIND(unlinkat);
    FIND(mkdirat);
    FIND(ftruncate);
    FIND(fallocate);
    FIND(fsync);
    FIND(fdatasync);
    FIND(mmap);
    FIND(fopen);
    FIND(sendfile);
    FIND(copy_file_range);
    FIND(linkat);
    FIND(symlinkat);
    const char *folder = getenv("VMFT_TRACE_ROOT");
    const char *file = getenv("VMFT_TRACE_FILE");
    if (folder == NULL || file == NULL || strlen(folder) >= sizeof root) {
        die("VMFT_TRACE_ROOT and VMFT_TRACE_FILE must be set");
    }
    strcpy(root, folder);
    root_length = strlen(root);
    const char *micros = getenv("VMFT_TRACE_SYNC_MICROS");
    sync_micros = micros == NULL ? 0 : atol(micros);
    const char *after = getenv("VMFT_TRACE_KILL_AFTER");
    kill_after = after == NULL ? 0 : atol(after);
    trace = real_openat(AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trace < 0) {
        die("the trace cannot be opened");
    }
}

__attribute__((constructor)) static void ready(void) {
    pthread_once(&once, start);
}

/* --- names and descriptors --- */

/* The name below the root; false if it is elsewhere. The last part need not exist. */
static bool below_root(int dirfd, const char *path, char out[PATH_MAX]) {
    char whole[PATH_MAX];
    char folder[PATH_MAX];
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        char link[64];
        char base[PATH_MAX];
        snprintf(link, sizeof link, dirfd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dirfd);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) {
            return false;
        }
        base[length] = 0;
        if ((size_t)snprintf(whole, sizeof whole, "%s/%s", base, path) >= sizeof whole) {
            return false;
        }
    }
    size_t length = strlen(whole);
    while (length > 1 && whole[length - 1] == '/') {
        whole[--length] = 0;
    }
    char *slash = strrchr(whole, '/');
    const char *name = slash + 1;
    *slash = 0;
    if (realpath(whole[0] == 0 ? "/" : whole, folder) == NULL) {
        return false;
    }
    if (strncmp(folder, root, root_length) == 0 && (folder[root_length] == 0 || folder[root_length] == '/')) {
        const char *inner = folder + root_length + (folder[root_length] == '/');
        snprintf(out, PATH_MAX, "%s%s%s", inner, inner[0] == 0 ? "" : "/", name);
        return true;
    }
    if ((size_t)snprintf(out, PATH_MAX, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, name) < PATH_MAX && strcmp(out, root) == 0) {
        out[0] = 0;
        return true;
    }
    return false;
}

static bool tracked(int fd) {
    return fd >= 0 && fd < MAX_FDS && files[fd].tracked;
}

static void forget(int fd) {
    if (tracked(fd)) {
        pthread_mutex_lock(&lock);
        free(files[fd].directory);
        files[fd] = (struct open_file){0};
        pthread_mutex_unlock(&lock);
    }
}

static void copy(int from, int to) {
    if (tracked(from) && to >= 0) {
        if (to >= MAX_FDS) {
            die("too many descriptors");
        }
        pthread_mutex_lock(&lock);
        files[to] = files[from];
        files[to].directory = files[from].directory == NULL ? NULL : strdup(files[from].directory);
        pthread_mutex_unlock(&lock);
    }
}

/* --- the trace; the lock is held --- */

static void log_parts(enum kind kind, uint64_t inode, int64_t offset, int64_t length, const struct iovec *parts, int count, size_t bytes) {
    struct record record = {kind, (uint32_t)bytes, inode, offset, length};
    struct iovec vector[1 + 16];
    int used = 1;
    vector[0] = (struct iovec){&record, sizeof record};
    size_t left = bytes;
    for (int i = 0; i < count && left > 0; i++) {
        if (used == 17) {
            die("a write of too many parts");
        }
        size_t part = parts[i].iov_len < left ? parts[i].iov_len : left;
        vector[used++] = (struct iovec){parts[i].iov_base, part};
        left -= part;
    }
    ssize_t written = real_writev(trace, vector, used);
    if (written != (ssize_t)(sizeof record + bytes)) {
        die("the trace cannot be written");
    }
}

static void log_bytes(enum kind kind, uint64_t inode, int64_t offset, int64_t length, const void *data, size_t bytes) {
    struct iovec part = {(void *)(uintptr_t)data, bytes};
    log_parts(kind, inode, offset, length, &part, 1, bytes);
}

static void log_name(enum kind kind, uint64_t inode, const char *name) {
    log_bytes(kind, inode, 0, 0, name, strlen(name));
}

/* Before a change: nobody else's is half done now. */
static void begin(void) {
    pthread_mutex_lock(&lock);
    if (++changes == kill_after) {
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;) {
            pause();
        }
    }
}

static void end(void) {
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
}

/* --- opening --- */

static int open_file(int dirfd, const char *path, int flags, mode_t mode) {
    pthread_once(&once, start);
    char name[PATH_MAX];
    if (path == NULL || !below_root(dirfd, path, name)) {
        return real_openat(dirfd, path, flags, mode);
    }
    if ((flags & O_TMPFILE) == O_TMPFILE) {
        return real_openat(dirfd, path, flags, mode); /* has no name, and so no place on the disk after a crash */
    }
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    if (writes && (flags & (O_SYNC | O_DSYNC)) != 0) {
        die("a file is opened with O_SYNC or O_DSYNC, which is not recorded");
    }
    begin();
    struct stat before;
    bool existed = fstatat(dirfd, path, &before, 0) == 0;
    int fd = real_openat(dirfd, path, flags, mode);
    struct stat found;
    if (fd >= 0 && fstat(fd, &found) == 0 && (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode))) {
        if (fd >= MAX_FDS) {
            die("too many descriptors");
        }
        free(files[fd].directory);
        files[fd] = (struct open_file){true, found.st_ino, S_ISDIR(found.st_mode) ? strdup(name) : NULL};
        if (!existed) {
            log_name(CREATE, found.st_ino, name);
        } else if ((flags & O_TRUNC) != 0 && writes && before.st_size > 0) {
            log_bytes(SIZE, found.st_ino, 0, 0, NULL, 0);
        }
    }
    end();
    return fd;
}

#define OPEN(name, parameters, dirfd)                                                                                                      \
    EXPORT int name parameters {                                                                                                           \
        mode_t mode = 0;                                                                                                                   \
        if ((flags & (O_CREAT | O_TMPFILE)) != 0) {                                                                                        \
            va_list rest;                                                                                                                  \
            va_start(rest, flags);                                                                                                         \
            mode = va_arg(rest, mode_t);                                                                                                   \
            va_end(rest);                                                                                                                  \
        }                                                                                                                                  \
        return open_file(dirfd, path, flags, mode);                                                                                        \
    }
OPEN(open, (const char *path, int flags, ...), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD)
OPEN(openat, (int dirfd, const char *path, int flags, ...), dirfd)
OPEN(openat64, (int dirfd, const char *path, int flags, ...), dirfd)

EXPORT int creat(const char *path, mode_t mode) {
    return open_file(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

EXPORT int creat64(const char *path, mode_t mode) {
    return creat(path, mode);
}

EXPORT int close(int fd) {
    pthread_once(&once, start);
    forget(fd);
    return real_close(fd);
}

EXPORT int dup(int fd) {
    int made = real_dup(fd);
    copy(fd, made);
    return made;
}

EXPORT int dup2(int fd, int wanted) {
    if (fd != wanted) {
        forget(wanted);
    }
    int made = real_dup2(fd, wanted);
    if (fd != wanted) {
        copy(fd, made);
    }
    return made;
}

EXPORT int dup3(int fd, int wanted, int flags) {
    forget(wanted);
    int made = real_dup3(fd, wanted, flags);
    copy(fd, made);
    return made;
}

static int control(int fd, int command, void *argument) {
    pthread_once(&once, start);
    int result = real_fcntl(fd, command, argument);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {
        copy(fd, result);
    }
    return result;
}

EXPORT int fcntl(int fd, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return control(fd, command, argument);
}

EXPORT int fcntl64(int fd, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return control(fd, command, argument);
}

/* --- content --- */

static off_t position(int fd) {
    if ((real_fcntl(fd, F_GETFL) & O_APPEND) != 0) {
        struct stat found;
        return fstat(fd, &found) == 0 ? found.st_size : -1;
    }
    return lseek(fd, 0, SEEK_CUR);
}

EXPORT ssize_t write(int fd, const void *data, size_t bytes) {
    pthread_once(&once, start);
    if (!tracked(fd)) {
        return real_write(fd, data, bytes);
    }
    begin();
    off_t offset = position(fd);
    ssize_t done = real_write(fd, data, bytes);
    if (done > 0) {
        log_bytes(WRITE, files[fd].inode, offset, done, data, (size_t)done);
    }
    end();
    return done;
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) {
    pthread_once(&once, start);
    if (!tracked(fd)) {
        return real_pwrite(fd, data, bytes, offset);
    }
    begin();
    ssize_t done = real_pwrite(fd, data, bytes, offset);
    if (done > 0) {
        log_bytes(WRITE, files[fd].inode, offset, done, data, (size_t)done);
    }
    end();
    return done;
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) {
    return pwrite(fd, data, bytes, offset);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count) {
    pthread_once(&once, start);
    if (!tracked(fd)) {
        return real_writev(fd, parts, count);
    }
    begin();
    off_t offset = position(fd);
    ssize_t done = real_writev(fd, parts, count);
    if (done > 0) {
        log_parts(WRITE, files[fd].inode, offset, done, parts, count, (size_t)done);
    }
    end();
    return done;
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    pthread_once(&once, start);
    if (!tracked(fd)) {
        return real_pwritev(fd, parts, count, offset);
    }
    begin();
    ssize_t done = real_pwritev(fd, parts, count, offset);
    if (done > 0) {
        log_parts(WRITE, files[fd].inode, offset, done, parts, count, (size_t)done);
    }
    end();
    return done;
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    return pwritev(fd, parts, count, offset);
}

EXPORT int ftruncate(int fd, off_t size) {
    pthread_once(&once, start);
    if (!tracked(fd)) {
        return real_ftruncate(fd, size);
    }
    begin();
    int result = real_ftruncate(fd, size);
    if (result == 0) {
        log_bytes(SIZE, files[fd].inode, size, 0, NULL, 0);
    }
    end();
    return result;
}

EXPORT int ftruncate64(int fd, off64_t size) {
    return ftruncate(fd, size);
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t length) {
    pthread_once(&once, start);
    if (!tracked(fd)) {
        return real_fallocate(fd, mode, offset, length);
    }
    begin();
    int result = real_fallocate(fd, mode, offset, length);
    if (result == 0) {
        switch (mode) {
        case 0:
            log_bytes(RESERVE, files[fd].inode, offset, length, NULL, 0);
            break;
        case FALLOC_FL_KEEP_SIZE: /* reserves, and changes nothing that can be read */
            break;
        case FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE:
        case FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE:
            log_bytes(ZERO, files[fd].inode, offset, length, NULL, 0);
            break;
        default:
            die("fallocate in a mode that is not recorded");
        }
    }
    end();
    return result;
}

EXPORT int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    return fallocate(fd, mode, offset, length);
}

/* --- names --- */

static int make_directory(int dirfd, const char *path, mode_t mode) {
    pthread_once(&once, start);
    char name[PATH_MAX];
    if (!below_root(dirfd, path, name)) {
        return real_mkdirat(dirfd, path, mode);
    }
    begin();
    int result = real_mkdirat(dirfd, path, mode);
    if (result == 0) {
        log_name(MKDIR, 0, name);
    }
    end();
    return result;
}

EXPORT int mkdir(const char *path, mode_t mode) {
    return make_directory(AT_FDCWD, path, mode);
}

EXPORT int mkdirat(int dirfd, const char *path, mode_t mode) {
    return make_directory(dirfd, path, mode);
}

static int remove_name(int dirfd, const char *path, int flags) {
    pthread_once(&once, start);
    char name[PATH_MAX];
    if (!below_root(dirfd, path, name)) {
        return real_unlinkat(dirfd, path, flags);
    }
    begin();
    int result = real_unlinkat(dirfd, path, flags);
    if (result == 0) {
        log_name((flags & AT_REMOVEDIR) != 0 ? RMDIR : UNLINK, 0, name);
    }
    end();
    return result;
}

EXPORT int unlink(const char *path) {
    return remove_name(AT_FDCWD, path, 0);
}

EXPORT int unlinkat(int dirfd, const char *path, int flags) {
    return remove_name(dirfd, path, flags);
}

EXPORT int rmdir(const char *path) {
    return remove_name(AT_FDCWD, path, AT_REMOVEDIR);
}

EXPORT int remove(const char *path) {
    struct stat found;
    bool directory = lstat(path, &found) == 0 && S_ISDIR(found.st_mode);
    return remove_name(AT_FDCWD, path, directory ? AT_REMOVEDIR : 0);
}

static int rename_file(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags) {
    pthread_once(&once, start);
    char names[2 * PATH_MAX];
    char target[PATH_MAX];
    bool leaves = below_root(from_dirfd, from, names);
    bool comes = below_root(to_dirfd, to, target);
    if (!leaves && !comes) {
        return real_renameat2(from_dirfd, from, to_dirfd, to, flags);
    }
    struct stat found;
    if (!leaves || !comes || flags != 0 || (fstatat(from_dirfd, from, &found, 0) == 0 && !S_ISREG(found.st_mode))) {
        die("a rename that is not recorded");
    }
    begin();
    int result = real_renameat2(from_dirfd, from, to_dirfd, to, flags);
    if (result == 0) {
        size_t length = strlen(names);
        strcpy(names + length + 1, target);
        log_bytes(RENAME, 0, 0, 0, names, length + 1 + strlen(target));
    }
    end();
    return result;
}

EXPORT int rename(const char *from, const char *to) {
    return rename_file(AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int renameat(int from_dirfd, const char *from, int to_dirfd, const char *to) {
    return rename_file(from_dirfd, from, to_dirfd, to, 0);
}

EXPORT int renameat2(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags) {
    return rename_file(from_dirfd, from, to_dirfd, to, flags);
}

/* --- syncs --- */

static int sync_file(int fd, int (*real)(int)) {
    if (!tracked(fd)) {
        return real(fd);
    }
    pthread_mutex_lock(&lock);
    struct open_file file = files[fd];
    char *directory = file.directory == NULL ? NULL : strdup(file.directory);
    int64_t number = ((int64_t)getpid() << 32) | ++syncs;
    if (directory != NULL) {
        log_bytes(SYNC_BEGIN, 0, 0, number, directory, strlen(directory));
    } else {
        log_bytes(SYNC_BEGIN, file.inode, 0, number, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    free(directory);
    if (sync_micros > 0) {
        usleep((useconds_t)sync_micros);
    }
    int result = real(fd);
    int saved = errno;
    if (result == 0) {
        pthread_mutex_lock(&lock);
        log_bytes(SYNC_END, file.inode, 0, number, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    errno = saved;
    return result;
}

EXPORT int fsync(int fd) {
    pthread_once(&once, start);
    return sync_file(fd, real_fsync);
}

EXPORT int fdatasync(int fd) {
    pthread_once(&once, start);
    return sync_file(fd, real_fdatasync);
}

/* --- what must not happen. sync_file_range and sync promise nothing here: they are not counted as syncs. --- */

static void *map(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    pthread_once(&once, start);
    if (tracked(fd) && (flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0) {
        die("a file is mapped for writing, which is not recorded");
    }
    return real_mmap(address, length, protection, flags, fd, offset);
}

EXPORT void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    return map(address, length, protection, flags, fd, offset);
}

EXPORT void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) {
    return map(address, length, protection, flags, fd, offset);
}

EXPORT FILE *fopen(const char *path, const char *mode) {
    pthread_once(&once, start);
    char name[PATH_MAX];
    if (strpbrk(mode, "wa+") != NULL && below_root(AT_FDCWD, path, name)) {
        die("a file is opened for writing by fopen, which is not recorded");
    }
    return real_fopen(path, mode);
}

EXPORT FILE *fopen64(const char *path, const char *mode) {
    return fopen(path, mode);
}

EXPORT ssize_t sendfile(int out, int in, off_t *offset, size_t count) {
    pthread_once(&once, start);
    if (tracked(out)) {
        die("sendfile into a file, which is not recorded");
    }
    return real_sendfile(out, in, offset, count);
}

EXPORT ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) {
    return sendfile(out, in, offset, count);
}

EXPORT ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t length, unsigned flags) {
    pthread_once(&once, start);
    if (tracked(out)) {
        die("copy_file_range into a file, which is not recorded");
    }
    return real_copy_file_range(in, in_offset, out, out_offset, length, flags);
}

static bool named_below(int dirfd, const char *path) {
    pthread_once(&once, start);
    char name[PATH_MAX];
    return below_root(dirfd, path, name);
}

EXPORT int linkat(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags) {
    if (named_below(from_dirfd, from) || named_below(to_dirfd, to)) {
        die("a link, which is not recorded");
    }
    return real_linkat(from_dirfd, from, to_dirfd, to, flags);
}

EXPORT int link(const char *from, const char *to) {
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int symlinkat(const char *target, int dirfd, const char *path) {
    if (named_below(dirfd, path)) {
        die("a symbolic link, which is not recorded");
    }
    return real_symlinkat(target, dirfd, path);
}

EXPORT int symlink(const char *target, const char *path) {
    return symlinkat(target, AT_FDCWD, path);
}

EXPORT int truncate(const char *path, off_t size) {
    int fd = open_file(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int result = ftruncate(fd, size);
    close(fd);
    return result;
}

EXPORT int truncate64(const char *path, off64_t size) {
    return truncate(path, size);
}

EXPORT int posix_fallocate(int fd, off_t offset, off_t length) {
    if (tracked(fd)) {
        die("posix_fallocate, which is not recorded");
    }
    return fallocate(fd, 0, offset, length) == 0 ? 0 : errno;
}

EXPORT int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    return posix_fallocate(fd, offset, length);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    if (flags != 0 && tracked(fd)) {
        die("pwritev2 with flags, which is not recorded");
    }
    return offset == -1 ? writev(fd, parts, count) : pwritev(fd, parts, count, offset);
}

EXPORT ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) {
    return pwritev2(fd, parts, count, offset, flags);
}
