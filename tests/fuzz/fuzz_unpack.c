/* Any bytes as a file to submit, plain or compressed: it ends, or is refused with words; what it
 * unpacks to does not depend on how much is asked for. */
#include "producer/unpack.h"
#include "tests/fuzz/file.h"

#define OUT_MAX ((size_t)4 << 20) /* of a bomb, no more */

/* Bytes, or -1 - bytes when it was refused behind them. */
static int64_t unpack_all(int fd, size_t step)
{
    static char out[65536];
    struct err err = {0};
    struct unpack *u = NULL;
    int64_t sum = 0, got = 1;
    MUST(lseek(fd, 0, SEEK_SET) == 0);
    if (unpack_open(&u, fd, &err) < 0) {
        MUST(err.msg[0]);
        return -1;
    }
    while (sum < (int64_t)OUT_MAX && (got = unpack_read(u, out, step, &err)) > 0) {
        MUST(got <= (int64_t)step);
        sum += got;
    }
    MUST(got >= 0 || err.msg[0]);
    unpack_close(u);
    return got < 0 ? -1 : sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[FILE_PATH_MAX];
    int fd = file_of(data, n, path);
    int64_t whole = unpack_all(fd, 65536);
    int64_t pieces = unpack_all(fd, 4099);
    MUST((whole < 0) == (pieces < 0));
    MUST(whole < 0 || whole == pieces || whole >= (int64_t)OUT_MAX);
    close(fd);
    return 0;
}
