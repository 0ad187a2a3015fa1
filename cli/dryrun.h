/*
 * dryrun.h - what a file would do and cost, without sending anything.
 *
 * Reads the file as submit does, asks of each line what admission asks, and adds up:
 *   distinct    calls that would have to be bought, after equal questions and stored answers
 *   highest     their bounds, as a budget reserves them: no bill can be higher
 *   lowest      their prompts at DRYRUN_BYTES_PER_TOKEN and no output: hardly any bill is lower
 */
#ifndef OFFPEAK_CLI_DRYRUN_H
#define OFFPEAK_CLI_DRYRUN_H

#include "cli/endpoint.h"
#include "cli/infile.h"
#include "cli/progress.h"
#include "core/record.h"

#define DRYRUN_BYTES_PER_TOKEN 8

struct dryrun {
    uint64_t jobs, refused; /* refused: jobs whose line would be rejected */
    uint64_t distinct, hits, equal;
    uint64_t unlimited; /* of the distinct: without an output limit */
    struct usd_sum lowest, highest;
};

struct dryrun_conf {
    const struct cli *cli;
    const struct endpoint *endpoint;
    const struct infile *file;
    const struct run_row *row; /* options of the run */
    struct queue *queue;       /* NULL: no stored answers are looked at */
    struct progress *progress;
};

int dryrun(const struct dryrun_conf *conf, struct dryrun *ret, struct err *err);

#endif
