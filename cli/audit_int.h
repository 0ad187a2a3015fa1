/*
 * audit_int.h - what the steps of an audit share (audit.h).
 *
 *   audit.c          the order of the steps, findings, names
 *   audit_topics.c   which topics there are, their ends; jobs
 *   audit_tables.c   tables set aside: open, batches, runs
 *   audit_lines.c    budget lines, limits, the ledger
 *   audit_walk.c     ready and spend in the scheduler's order
 *   audit_results.c  results
 *   audit_end.c      every job, line, run and batch judged
 *   audit_job.h      one job judged (pure); audit_charge.h: one spend record (pure)
 *   audit_invoice.c  spend beside an invoice
 *
 * Errors: a negative number with err filled in is a store that could not be read; whatever else is
 * wrong is a difference.
 */
#ifndef OFFPEAK_CLI_AUDIT_INT_H
#define OFFPEAK_CLI_AUDIT_INT_H

#include "cli/audit.h"
#include "cli/audit_charge.h"
#include "cli/audit_job.h"
#include "cli/slots.h"
#include "core/idset.h"
#include "core/record.h"

#define AUDIT_RUN_MAX  176 /* team/feature/run, with its NUL */
#define AUDIT_NAME_MAX 192 /* of a budget line, with its NUL */
#define AUDIT_LINES_MAX \
    7 /* a job counts on: two scopes with three periods each, and its run */
#define AUDIT_PAYERS 512  /* remembered at a time */
#define AUDIT_EVERY  4096 /* records between two words on progress */
#define AUDIT_NONE   UINT64_MAX

/* ---- topics ---- */

/* One partition of a topic. */
struct audit_log {
    char topic[QUEUE_NAME_MAX];
    uint32_t partition;
    uint64_t first, settled, end; /* kept from; complete below; read up to */
    /* jobs */
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    char id[TEAM_MAX + FEATURE_MAX + 16]; /* as job ids begin: "search.tags/0" */
    uint64_t base;                        /* slot of offset 0; of ready: of its record */
    uint64_t lowest,
        frontier;  /* the first job let through, as far as kept; behind the last */
    int scopes[2]; /* of its limits; -1: none */
    /* results */
    uint64_t first_commit; /* of the first that is kept; 0: there is none */
    struct audit_counts counts;
};

struct audit_logs {
    struct audit_log *v;
    size_t n;
};

/* ---- slots ---- */

#define SLOT __attribute__((aligned(16)))

struct audit_ready { /* of a record in ready */
    uint64_t job;    /* slot + 1; 0: none */
    uint64_t batch;  /* slot + 1 */
} SLOT;

struct audit_run {
    char name[AUDIT_RUN_MAX]; /* team/feature/run */
    uint64_t has_row, unreadable, complete, retrying, limited, line_known;
    uint64_t lines, blank, again, attempt;
    struct usd max_cost;
    uint64_t jobs,
        jobs_settled; /* of the first attempt: all, and those that must be counted */
    uint64_t later, later_settled;
} SLOT;

/* A budget line with its period. */
struct audit_line {
    char key[AUDIT_NAME_MAX];
    struct usd_sum gone, reserved; /* by the replay */
    struct ledger_row expected, found;
    uint64_t applied; /* spend records below are in `found` */
    uint64_t moving, broken;
} SLOT;

struct audit_open { /* a row of `open` */
    struct open_row row;
    char job[JOB_ID_MAX];
} SLOT;

struct audit_batch {
    char id[32], state[16];
    uint32_t sent_off; /* no member can have its result yet */
    uint32_t single;   /* a slice of calls made one by one */
    uint64_t partition;
} SLOT;

struct audit_member {
    uint64_t place, batch;
} SLOT;

struct audit_try { /* a try in doubt, or a correction */
    uint64_t digest, place;
} SLOT;

struct audit_bill { /* of an invoice, or of spend that is on none */
    char id[AUDIT_REF_MAX];
    uint64_t listed, rows, charges, unknown;
    struct usd_sum billed, spent, doubt;
} SLOT;

/* ---- names: each a number, by kind ---- */

enum audit_names { NAME_RUN, NAME_LINE, NAME_LAST, NAME_TRY, NAME_BILL, NAMES };

struct audit_scope {
    char scope[TEAM_MAX + FEATURE_MAX + 2];
    struct budget_edit now; /* in force */
    bool known;
};

struct audit_edit {
    uint64_t commit;
    struct budget_edit edit;
};

struct audit_payer {
    uint64_t run; /* + 1; 0: empty */
    uint32_t day;
    unsigned n;
    uint64_t lines[AUDIT_LINES_MAX];
};

struct audit {
    const struct audit_conf *conf;
    struct audit_counts counts;
    struct queue_cursor *cur, *look;
    struct audit_logs jobs, ready, results;
    struct audit_log spend;
    uint32_t parts; /* of ready and batches */
    bool ready_trimmed;

    struct idset *names;
    uint64_t named[NAMES];
    char last_run[AUDIT_RUN_MAX];
    uint64_t last_run_at;

    struct slots *job, *in_ready, *run, *line, *open, *batch, *member, *last, *tries,
        *bill;
    uint64_t opens, batches, members;
    bool mark_broken;
    bool ledger_still;                /* no charge was applied while it was read */
    uint64_t mark_ledger;             /* spend applied when `ledger` was read */
    uint64_t mark_before, mark_after; /* ... before and after `open` was */

    struct audit_edit *edits;
    size_t edits_n, edits_next;
    struct audit_scope *scopes;
    size_t scopes_n;
    struct audit_payer *payers;

    uint64_t said; /* records since the last word on progress */
    uint64_t above_bound, half_reserved;
    char above_first[JOB_ID_MAX];
};

/* ---- audit.c ---- */
void audit_differs(struct audit *a, enum audit_kind kind, const char *where,
                   const char *expected, const char *found);
PRINTF_LIKE(2, 3) void audit_note(struct audit *a, const char *fmt, ...);
void audit_progress(struct audit *a, const char *what, uint64_t done, uint64_t all);
/* The number of a name; 1 when it is new, 0 when not. */
int audit_name(struct audit *a, enum audit_names kind, struct span name, uint64_t *ret,
               struct err *err);
int audit_run_of(struct audit *a, const char *team, const char *feature, const char *run,
                 uint64_t *ret, struct err *err);
/* "results.search/0 offset 12" */
const char *audit_at(const struct queue_at *at, char ret[static AUDIT_TEXT_MAX]);
uint64_t audit_digest(struct span bytes);
uint64_t audit_record_digest(const struct queue_msg *msg);
uint32_t audit_day(const char *day); /* "2026-11-21" as 20261121 */

/* ---- audit_topics.c ---- */
int audit_look_first(struct audit *a, struct err *err);
int audit_look_again(struct audit *a, struct err *err);
int audit_look_kept(struct audit *a, struct err *err);
void audit_logs_fini(struct audit_logs *l);
/* The queue and offset a job id names; NULL: none that there is. */
struct audit_log *audit_job_place(struct audit *a, const char *job, uint64_t *ret_offset,
                                  int64_t *ret_ms);
int audit_jobs(struct audit *a, struct err *err);

/* ---- audit_tables.c ---- */
int audit_read_open(struct audit *a, struct err *err);
int audit_read_batches(struct audit *a, struct err *err);
int audit_read_runs(struct audit *a, struct err *err);
int audit_apply_open(struct audit *a, struct err *err);
int audit_apply_members(struct audit *a, struct err *err);

/* ---- audit_lines.c ---- */
int audit_read_mark(struct audit *a, uint64_t *ret_next, uint64_t *ret_commit,
                    struct err *err);
int audit_read_ledger(struct audit *a, struct err *err);
int audit_read_budgets(struct audit *a, struct err *err);
/* The lines a job of that run counts on, released on that day. */
int audit_payer(struct audit *a, const struct audit_log *queue, uint64_t run,
                const char *day, struct audit_payer **ret, struct err *err);
int audit_book_release(struct audit *a, struct audit_log *queue, const struct release *r,
                       const struct queue_msg *msg, uint64_t run, struct err *err);
/* A charge that counts: whose, where it stands, and the part of the reservation it ends. */
struct audit_booking {
    const struct audit_log *queue;
    uint64_t run, offset;
    struct usd held;
    const struct spend_head *head;
};
int audit_book_charge(struct audit *a, const struct audit_booking *b, struct err *err);
int audit_judge_lines(struct audit *a, struct err *err);

/* ---- the others ---- */
int audit_walk(struct audit *a, struct err *err);
int audit_results(struct audit *a, struct err *err);
int audit_end(struct audit *a, struct err *err);
int audit_invoice_read(struct audit *a, struct err *err);
int audit_invoice_charge(struct audit *a, const struct audit_charge *c, struct err *err);
int audit_invoice_judge(struct audit *a, struct err *err);

#endif
