/*
 * summary.h - the last words of a run: what happened, what it cost, what to do next.
 *
 * For people on standard error, as one JSON object on standard output. summary_judge decides the
 * exit code; when several hold, the first of 1, 4, 5, 8, 6, 3 wins.
 */
#ifndef OFFPEAK_CLI_SUMMARY_H
#define OFFPEAK_CLI_SUMMARY_H

#include "cli/dryrun.h"
#include "cli/session.h"

struct summary {
    const struct cli *cli;
    const struct endpoint *endpoint;
    const struct infile *file; /* NULL: a run without a file */
    const struct session_end *end;
    const char *out, *errors; /* files written; NULL: none */
    bool was_finished;        /* nothing was left to do */
    int64_t elapsed_ms;
};

/* 0, or a negative exit code with its message; all but what is to be told at a signal. */
int summary_judge(const struct cli *c, const struct session_end *end, struct err *err);
void summary_print(const struct summary *s);
void summary_print_json(const struct summary *s, int exit_code);

void summary_print_dryrun(const struct dryrun_conf *conf, const struct dryrun *d);
void summary_print_dryrun_json(const struct dryrun_conf *conf, const struct dryrun *d);

#endif
