/*
 * The files of all projects: records in memory, bodies in a folder on disk, never in memory.
 *
 * A body is first written to a scratch file, then adopted under a new file id. Ids are random
 * to look at and end in the number of the record, so that finding one needs no search.
 * A file whose expires_at has passed is gone: 404 everywhere. Thread-safe. Times are simulated
 * seconds.
 */
#ifndef SIM_FILE_STORE_H
#define SIM_FILE_STORE_H

#include "tests/sim/auth.h"
#include "tests/sim/problem.h"

enum { ID_MAX = 48, FILENAME_MAX_BYTES = 256, PURPOSE_MAX = 32 };

struct file_store;

struct file_spec {
    char project[PROJECT_MAX];
    char filename[FILENAME_MAX_BYTES];
    char purpose[PURPOSE_MAX];
    int64_t created_at;
    int64_t expires_at; /* 0: never */
    int64_t hidden_until;
};

struct file_query {
    const char *project;
    const char *purpose; /* NULL: any */
    const char *after;   /* NULL: from the start */
    int64_t limit;
    int64_t visible_since; /* files created later than this are not listed */
    int64_t now;
    bool ascending;
};

/* NULL dir: a private folder in `tmp`, removed at the end. NULL with a message in *ret_why. */
struct file_store *file_store_open(const char *dir, const char *tmp, uint64_t seed,
                                   struct text *ret_why);
struct file_store *file_store_close(struct file_store *s);

/* A new file to write to, unlinked when it is closed unless adopted; ret_path is freed by the
 * caller, or NULL for one that has no name at all. */
int file_store_scratch(struct file_store *s, char **ret_path);

/* Takes the scratch file over and removes its old name; ret_id holds ID_MAX bytes. */
int file_store_adopt(struct file_store *s, const struct file_spec *spec, const char *path,
                     char *ret_id);

/* Appends the File object. 0, or -1 with *p. */
int file_store_show(struct file_store *s, const char *project, const char *id,
                    int64_t now, struct text *out, struct problem *p);
int file_store_list(struct file_store *s, const struct file_query *q, struct text *out,
                    struct problem *p);
int file_store_delete(struct file_store *s, const char *project, const char *id,
                      int64_t now, struct problem *p);

/* A descriptor of the body, owned by the caller; or -1 with *p. */
int file_store_read(struct file_store *s, const char *project, const char *id,
                    int64_t now, int64_t *ret_bytes, struct problem *p);

/* The purpose of a file; or -1 with *p. */
int file_store_purpose(struct file_store *s, const char *project, const char *id,
                       int64_t now, char ret_purpose[PURPOSE_MAX], struct problem *p);

/* Removes the bodies of files that have expired. */
void file_store_sweep(struct file_store *s, int64_t now);

#endif
