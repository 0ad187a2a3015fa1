/*
 * board.h - where everything stands in a data folder: runs, batches, money, and what waits.
 *
 * board_open once, board_look for every picture: it reads what was committed since, beside the
 * owner or beside nobody, and what the owner leaves (cli/beat.h); on Kafka, who is at work
 * (cli/crew.h) and which gates are closed (cli/gates.h), every BOARD_GATES_MS. At most BOARD_RUNS runs, those
 * begun last, and BOARD_BATCHES batches are shown; how many there are is counted. Reservations are
 * added up to BOARD_OPEN_ROWS jobs.
 *
 * board_text is pure: the picture as lines that are no longer than `width`, without escapes but
 * for bold when `colour`. board_line says the same of the runs in one line.
 */
#ifndef OFFPEAK_CLI_BOARD_H
#define OFFPEAK_CLI_BOARD_H

#include "cli/beat.h"
#include "cli/crew.h"
#include "cli/follow.h"
#include "cli/runs.h"
#include "worker/batch.h"

#define BOARD_RUNS      8
#define BOARD_BATCHES   12
#define BOARD_LIMITS    12
#define BOARD_OPEN_ROWS 20000
#define BOARD_GATES_MS  2000

enum board_state {
    BOARD_QUEUEING,
    BOARD_WORKING,
    BOARD_WAITS,
    BOARD_CANCELLED,
    BOARD_OVER
};

struct board_run {
    struct run_found run;
    struct follow_status status;
    enum board_state state;
};

struct board_batch {
    char id[BATCH_ID_BYTES], model[PROMPT_MODEL_MAX + 1], why[300];
    enum batch_state state;
    int64_t created_ms, due_ms; /* due_ms: of retry; 0 none */
    int64_t poll_ms;            /* when it is asked after next; 0 nobody knows */
    uint32_t calls;
    bool recovery; /* looked for at the provider: its create may have happened */
};

struct board_limit {
    char scope[TEAM_MAX + FEATURE_MAX + 2];
    const char *period;
    struct usd_sum spent, reserved, limit;
    bool limited, paused; /* a pause without a limit is one line too */
};

struct board_view {
    const char *data; /* the folder, or on Kafka its brokers */
    bool remote;      /* on Kafka: `crew` works on it, else the folder's owner */
    bool hidden;      /* some of it this user may not read */
    int64_t wall_ms;
    bool owner, has_beat;
    struct crew crew;
    const struct broker_settings *broker; /* for the commands that start one */
    struct beat beat; /* on Kafka what a reader can tell of it: the gates */
    struct board_run runs[BOARD_RUNS]; /* the newest last */
    unsigned runs_n, runs_all;
    struct board_batch batches[BOARD_BATCHES];
    unsigned batches_n, batches_all;
    uint64_t
        single[LANES]; /* calls of sync and pool under way, at most: those journaled */
    struct board_limit limits[BOARD_LIMITS];
    unsigned limits_n;
    struct usd_sum reserved;
    uint64_t open_jobs;
    bool open_more; /* there are more than were added up */
};

struct board;

/* What, and which runs of it; all of it is borrowed. */
struct board_conf {
    const struct cli *cli;
    struct queue *queue;
    struct run_wanted wanted;
};
int board_open(struct board **ret, const struct board_conf *conf, struct err *err);
int board_look(struct board *b, struct err *err);
const struct board_view *board_view(const struct board *b);
struct board *board_close(struct board *b);

const char *board_state_name(enum board_state s);
int board_text(const struct board_view *v, unsigned width, bool colour, struct buf *ret);
int board_line(const struct board_view *v, struct buf *ret);

#endif
