/*
 * spool.h - the files of a batch on this machine, in DIR/spool.
 *
 *   <id>.jsonl       its input, as uploaded
 *   <id>.out.jsonl   the provider's output file
 *   <id>.err.jsonl   the provider's error file
 *
 * All of it can be lost: the input is written again from `ready`, results are downloaded again.
 * What the journal relies on is synced to disk before the entry that says so. Files are made
 * readable by the user only and removed when the batch is settled.
 *
 * spool_write and spool_check run on the thread pool: they touch nothing but their arguments,
 * the queue (through a cursor of their own) and the disk, and give up between two lines once
 * `stop` is set. A full disk is ERR_FAIL with a hint; nothing but the file is lost.
 */
#ifndef OFFPEAK_WORKER_SPOOL_H
#define OFFPEAK_WORKER_SPOOL_H

#include "core/err.h"
#include "core/queue.h"
#include "worker/provider.h"
#include <stdatomic.h>

#define SPOOL_PATH_MAX 1024

enum spool_file { SPOOL_INPUT, SPOOL_OUTPUT, SPOOL_ERROR, SPOOL_FILES };

/* Makes DIR/spool; ERR_USAGE when DIR is too long for a path. */
int spool_prepare(const char *dir, struct err *err);
void spool_path(const char *dir, const char *id, enum spool_file f,
                char ret[static SPOOL_PATH_MAX]);
/* An empty file to write to; its descriptor, or an error. */
int spool_create(const char *dir, const char *id, enum spool_file f, struct err *err);
bool spool_exists(const char *dir, const char *id, enum spool_file f);
void spool_remove(const char *dir, const char *id);
/* Removes what a crash left behind: the files of batches that nobody knows. */
void spool_sweep(const char *dir, bool (*known)(void *ctx, const char *id), void *ctx);

struct spool_write {
    struct queue *queue;
    const char *dir;
    const struct provider *provider;
    const struct batch
        *batch; /* its members that are HERE; nobody changes it meanwhile */
    const atomic_bool *stop;
};
/* Writes the input file and syncs it. ret_bytes: its size. */
int spool_write(const struct spool_write *w, uint64_t *ret_bytes, struct err *err);

struct spool_check {
    uint64_t bytes;
    bool ends; /* its last byte is a newline, or it is empty */
    bool page; /* it is a web page: of a proxy, not of the provider */
};
/* Syncs a downloaded file and looks at its end. */
int spool_check(const char *dir, const char *id, enum spool_file f,
                struct spool_check *ret, struct err *err);

#endif
