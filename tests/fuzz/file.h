/*
 * file.h - files for parsers that read files: bytes in memory with a name of their own, and a
 * folder that goes when the program ends.
 */
#ifndef OFFPEAK_TESTS_FUZZ_FILE_H
#define OFFPEAK_TESTS_FUZZ_FILE_H

#include "tests/fuzz/fuzz.h"
#include "tests/lib/folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_PATH_MAX 128

/* At its beginning; the caller closes it. */
static inline int file_of(const void *data, size_t n, char ret_path[static FILE_PATH_MAX])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0);
    (void)snprintf(ret_path, FILE_PATH_MAX, "/proc/self/fd/%d", fd);
    return fd;
}

static char file_folder_path[FILE_PATH_MAX];

static inline void file_folder_remove(void)
{
    folder_remove(file_folder_path);
}

/* In memory where that can be had: stores are written many times a second. */
static inline const char *file_folder(void)
{
    if (!file_folder_path[0]) {
        const char *base = getenv("TMPDIR");
        base = base ? base : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        (void)snprintf(file_folder_path, FILE_PATH_MAX, "%s/offpeak-fuzz.XXXXXX", base);
        MUST(mkdtemp(file_folder_path) && atexit(file_folder_remove) == 0);
    }
    return file_folder_path;
}

/* Over what was there under that name. */
static inline void file_write(const char *path, const void *data, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && write(fd, data, n) == (ssize_t)n && close(fd) == 0);
}

#endif
