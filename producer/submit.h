/*
 * submit.h - a job file becomes jobs on a queue, once.
 *
 * Reads lines from files (producer/source.h; standard input is copied into the data folder first),
 * checks each, and puts it on jobs.<team>.<feature> with the headers run, attempt and line. A
 * line that cannot be accepted is put too, with a header that says why, so that it ends as a
 * rejected result beside its neighbours' answers. The run's row in `runs.<team>` is written
 * before the first line and counts the lines in the same commits that enqueue them, so a
 * submit that was killed goes on where it stopped.
 */
#ifndef OFFPEAK_PRODUCER_SUBMIT_H
#define OFFPEAK_PRODUCER_SUBMIT_H

#include "core/err.h"
#include "core/record.h"
#include "producer/source.h"

struct submit;
struct queue;
struct loop;

/* Texts are borrowed until submit_destroy. */
struct submit_conf {
    struct queue *queue;
    struct loop *loop;
    struct source_conf source; /* its files, and how their lines are made */
    const char *label; /* how messages name them together: a path, "standard input" */
    const char *dir;   /* data folder, for the temporary set of custom_ids */
    const char *team, *feature, *run;
    struct run_row
        row; /* endpoint, account, options; the digest is filled in by submit_digest */
    /* A refused line, by file and number there. */
    void (*on_line)(void *ctx, const char *file, uint64_t line, const char *why,
                    const char *hint);
    void (*on_done)(void *ctx, const struct err *err); /* err NULL: every line is in */
    void *ctx;
};

/* What a first look at the files tells (submit_digest reads them once, in bounded memory). */
struct submit_digest {
    char hex[HASH_HEX];
    uint64_t lines, blank, bytes; /* lines: blank ones too */
};
int submit_digest(const struct source_conf *source, struct submit_digest *ret,
                  struct err *err);
/* Copies standard input to a file in dir/input and returns its path in `ret`. */
int submit_copy_stdin(int fd, const char *dir, struct buf *ret, struct err *err);

/* What stands in `runs` against what is asked now. */
enum run_match { RUN_NEW, RUN_CONTINUES, RUN_FINISHED_SUBMIT };
/* ERR_USAGE naming both sides when bytes, team, feature, lane or endpoint differ. */
int submit_match(struct queue *q, const struct submit_conf *conf, enum run_match *ret,
                 struct run_row *ret_row, struct err *err);

int submit_start(struct submit **ret, const struct submit_conf *conf, struct err *err);
const struct run_row *submit_row(const struct submit *s); /* as of what is enqueued */
struct submit *submit_destroy(struct submit *s);

#endif
