#include "tests/sim/upload.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FORM_BUFFER_BYTES = 1 << 16 };

static void append(char *to, size_t size, const char *data, size_t n)
{
    size_t held = strlen(to);
    if (held + n < size) {
        memcpy(to + held, data, n);
        to[held + n] = '\0';
    }
}

static void take_bytes(struct upload *u, const char *filename, const char *data, size_t n)
{
    if (u->fd < 0 && !u->is_broken) {
        u->fd = file_store_scratch(u->files, &u->path);
        u->is_broken = u->fd < 0;
        copy_string(u->filename, sizeof u->filename, filename ? filename : "");
    }
    u->bytes += (int64_t)n;
    bool fits = u->bytes <= UPLOAD_BYTES_MAX;
    while (n > 0 && fits && !u->is_broken) {
        ssize_t done = write(u->fd, data, n);
        u->is_broken = done < 0;
        data += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
}

/* NOLINTNEXTLINE(readability-function-size): libmicrohttpd's parameters */
static enum MHD_Result on_part(void *cls, enum MHD_ValueKind kind, const char *key,
                               const char *filename, const char *content_type,
                               const char *encoding, const char *data, uint64_t offset,
                               size_t n)
{
    struct upload *u = cls;
    (void)kind;
    (void)content_type;
    (void)encoding;
    (void)offset;
    if (!strcmp(key, "file")) {
        take_bytes(u, filename, data, n);
    } else if (!strcmp(key, "purpose")) {
        append(u->purpose, sizeof u->purpose, data, n);
    } else if (!strcmp(key, "expires_after[anchor]")) {
        append(u->anchor, sizeof u->anchor, data, n);
    } else if (!strcmp(key, "expires_after[seconds]")) {
        append(u->seconds, sizeof u->seconds, data, n);
    }
    return MHD_YES;
}

struct upload *upload_begin(struct MHD_Connection *connection, struct file_store *files)
{
    struct upload *u = must_calloc(1, sizeof *u);
    u->files = files;
    u->fd = -1;
    u->form = MHD_create_post_processor(connection, FORM_BUFFER_BYTES, on_part, u);
    return u->form ? u : upload_end(u);
}

struct upload *upload_end(struct upload *u)
{
    if (!u) {
        return NULL;
    }
    if (u->form) {
        MHD_destroy_post_processor(u->form);
    }
    if (u->fd >= 0) {
        close(u->fd);
    }
    if (u->path) {
        unlink(u->path);
    }
    free(u->path);
    free(u);
    return NULL;
}

void upload_feed(struct upload *u, const char *data, size_t n)
{
    if (MHD_post_process(u->form, data, n) == MHD_NO) {
        u->is_broken = true;
    }
}

int upload_finish(struct upload *u, struct problem *p)
{
    MHD_destroy_post_processor(u->form);
    u->form = NULL;
    if (u->bytes > UPLOAD_BYTES_MAX) {
        return problem_set(p, 413, NULL, NULL,
                           "The file is larger than the limit of 512 MB.");
    }
    if (!u->path || !u->filename[0]) {
        return problem_set(p, 400, "file", "missing_required_parameter",
                           "Missing required parameter: 'file'.");
    }
    if (close(u->fd) < 0 || u->is_broken) {
        u->fd = -1;
        return problem_set(p, 500, NULL, NULL, "The server could not store the file.");
    }
    u->fd = -1;
    return 0;
}
