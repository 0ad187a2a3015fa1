/*
 * sink.h - where the results of a run go: one file, or answers and failures apart.
 *
 * Give sink_result to a follow as its on_result. Without an errors file every line goes to `out`;
 * with one, the lines of jobs that did not end ok go there, as OpenAI splits them. Both files
 * appear whole with sink_commit, or not at all.
 */
#ifndef OFFPEAK_CLI_SINK_H
#define OFFPEAK_CLI_SINK_H

#include "cli/outfile.h"
#include "core/record.h"

struct sink {
    struct outfile *out, *errors;
    bool streaming; /* every line at once, for who reads along */
};

int sink_open(struct sink *s, const char *out, const char *errors, struct err *err);
int sink_result(void *sink, const struct result_head *head, struct span line,
                struct err *err);
int sink_commit(struct sink *s, struct err *err);
void sink_close(struct sink *s);

/* NULL: there is none. */
struct sink_paths {
    const char *data, *input, *out, *errors; /* data: the data folder */
};

/* Before work begins: are the files none of the others and not in the store, and can they be
 * written. ERR_USAGE when not. */
int sink_check(const struct sink_paths *p, struct err *err);

#endif
