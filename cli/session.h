/*
 * session.h - one process at work on a data folder: the three roles on one loop, until it is over.
 *
 * session_open opens the folder without owning it; session_run then takes it if nobody has it
 * (and does all the work), or else adds its lines, follows their results, and takes over when the
 * owner ends. It returns when its own run is over, or cannot go on. What the roles tell goes to
 * `progress`; what became of the run to struct session_end.
 *
 * On Kafka there is no folder to own: it adds its lines and follows what scheduler and workers
 * make of them, and tells what it waits for when nothing comes.
 *
 * Without a file it works off whatever waits in the folder, of any run. With `only_queue` it
 * never takes the folder: it adds its lines, beside an owner or beside nobody, and is done.
 */
#ifndef OFFPEAK_CLI_SESSION_H
#define OFFPEAK_CLI_SESSION_H

#include "cli/endpoint.h"
#include "cli/follow.h"
#include "cli/infile.h"
#include "cli/progress.h"
#include "scheduler/scheduler.h"

struct session;

struct session_conf {
    const struct cli *cli;
    const struct endpoint *endpoint;
    struct infile *file; /* NULL: work off what waits */
    bool only_queue;     /* the lines are queued, and no work is done */
    struct run_row row;  /* of a new run: endpoint, account, options, digest */
    struct progress *progress;
    follow_fn on_result; /* every result of the run, as it comes; or NULL */
    void *ctx;
};

enum session_over {
    SESSION_DONE,    /* every job has its result */
    SESSION_GATE,    /* the rest waits behind a closed gate */
    SESSION_ACCOUNT, /* the provider refuses the account: see err */
    SESSION_SIGNAL,
    SESSION_FAILED, /* see err */
};

struct session_end {
    enum session_over over;
    int signal;
    struct err err;
    struct gate gate;
    struct run_row row;          /* as it stands now */
    uint64_t lines_before;       /* of it, queued before this process */
    struct follow_status status; /* of the run; of all that was done when there is none */
    uint64_t batches;            /* still at the provider */
    uint32_t doubtful; /* single calls under way when it was left: in doubt from now on */
    uint32_t left[LANES]; /* jobs let through, of lanes it makes no calls in */
    bool submitted;       /* every line is queued */
    bool was_finished;    /* nothing was left to do */
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1]; /* whose gate */
};

int session_open(struct session **ret, const struct cli *c, struct err *err);
struct queue *session_queue(struct session *s);
int session_run(struct session *s, const struct session_conf *conf,
                struct session_end *ret, struct err *err);
struct session *session_close(struct session *s);

#endif
