/*
 * file.h - a file for a parser that reads files: bytes in memory with a name of their own.
 */
#ifndef OFFPEAK_TESTS_FUZZ_FILE_H
#define OFFPEAK_TESTS_FUZZ_FILE_H

#include "tests/fuzz/fuzz.h"
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_PATH_MAX 40

/* At its beginning; the caller closes it. */
static inline int file_of(const uint8_t *data, size_t n,
                          char ret_path[static FILE_PATH_MAX])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0);
    (void)snprintf(ret_path, FILE_PATH_MAX, "/proc/self/fd/%d", fd);
    return fd;
}

#endif
