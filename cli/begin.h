/*
 * begin.h - from a command line to an open session: what comes before any work.
 *
 * `run` and `submit` begin alike: the endpoint is found, the file of jobs read once and the run
 * named, the data folder opened; on Kafka, where others make the calls, no key is asked for and the
 * queue's topics are made where they lack. Fill in `cli` with begin_init, open with begin_open, and close
 * in any case with begin_close. A regular file is read before anything is made or taken; a pipe
 * needs the data folder first.
 */
#ifndef OFFPEAK_CLI_BEGIN_H
#define OFFPEAK_CLI_BEGIN_H

#include "cli/endpoint.h"
#include "cli/infile.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "core/clock.h"

struct begin {
    const struct cli *cli;
    bool has_file;
    struct endpoint endpoint;
    struct infile file;
    struct progress progress;
    struct session *session; /* NULL at a dry run */
    struct clock clock;
    int64_t started_ms;
};

void begin_init(struct begin *b, const struct cli *c);
int begin_open(struct begin *b, const struct endpoint_need *need, struct err *err);
void begin_close(struct begin *b);

/* The row of a new run: what was asked for, and where it goes. */
void begin_fill_row(const struct begin *b, struct run_row *row);
/* What is about to happen, in a line or two. */
void begin_introduce(struct begin *b);

#endif
