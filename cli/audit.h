/*
 * audit.h - does what is stored agree with itself: every total derived again, from the records alone.
 *
 * audit_run reads committed records through cursors (core/queue.h), beside an owner or without one, and
 * tells every difference to a callback: what kind, where it stands, what was expected and what was
 * found. What it looks at, in this order:
 *
 *   tables    marks, ledger, budgets, runs, open, batches: set aside as they stand
 *   jobs      every input line: which are jobs, which repeats
 *   ready,    merged as the scheduler met them: each release names the budget edits and spend records
 *   spend     it had applied. Arithmetic of every charge, reservations, limits, the ledger
 *   results   whose they are
 *
 * and then judges every job, budget line, run and batch. Records are folded by their ids: one that
 * stands twice with the same content is a repeat and counted; with another content, a difference.
 *
 * A moving store: the ends of all topics are taken before the tables are read, and again after. What
 * lies below the first ends must be complete; what came later serves as evidence only, so nothing that
 * is under way is taken for a difference. A row of `ledger` is compared with the records its commit
 * had applied.
 *
 * Kept is what retention left: audit_note says from where on things could be checked. What it drops
 * while the audit reads is not missed: where topics begin is asked once more at the end.
 *
 * Memory: one slot a job stands in files (cli/slots.h) and names in a set on disk (core/idset.h), both in
 * the data folder and without a name; in memory are their caches, one entry a topic partition and
 * one a budget scope.
 */
#ifndef OFFPEAK_CLI_AUDIT_H
#define OFFPEAK_CLI_AUDIT_H

#include "core/money.h"
#include "core/queue.h"

#define AUDIT_TEXT_MAX 480

/* One row each in the table of audit_kinds.c. */
enum audit_kind {
    /* conservation */
    AUDIT_RECORD_BROKEN,
    AUDIT_JOB_LOST,
    AUDIT_RELEASE_WITHOUT_JOB,
    AUDIT_RELEASE_OF_ANOTHER,
    AUDIT_RESULT_WITHOUT_JOB,
    AUDIT_RESULT_WITHOUT_RELEASE,
    AUDIT_RESULT_WITHOUT_CHARGE,
    AUDIT_RESULT_OF_ANOTHER,
    AUDIT_TWO_RESULTS,
    AUDIT_OUTCOME,
    AUDIT_RUN_COUNT,
    /* money */
    AUDIT_CHARGE_SUM,
    AUDIT_CHARGE_SAVED,
    AUDIT_CHARGE_HEAD,
    AUDIT_CHARGE_ID,
    AUDIT_CHARGE_WITHOUT_JOB,
    AUDIT_CHARGE_WITHOUT_RELEASE,
    AUDIT_CHARGE_WITHOUT_RESULT,
    AUDIT_CHARGED_TWICE,
    AUDIT_TRIED_TWICE,
    AUDIT_CORRECTION_ALONE,
    AUDIT_LEDGER,
    AUDIT_OPEN_MISSING,
    AUDIT_OPEN_SETTLED,
    AUDIT_OPEN_WITHOUT_RELEASE,
    AUDIT_OPEN_AMOUNT,
    /* limits */
    AUDIT_LIMIT_PASSED,
    AUDIT_PAUSE_PASSED,
    AUDIT_SEEN,
    /* batches */
    AUDIT_BATCH_BROKEN,
    AUDIT_MEMBER_UNKNOWN,
    AUDIT_MEMBER_TWICE,
    AUDIT_MEMBER_SETTLED,
    /* invoice */
    AUDIT_INVOICE,
    AUDIT_KINDS
};

enum audit_part {
    AUDIT_CONSERVATION,
    AUDIT_MONEY,
    AUDIT_LIMITS,
    AUDIT_BATCHES,
    AUDIT_BILLS,
    AUDIT_PARTS
};
const char *audit_part_name(enum audit_part p); /* "conservation" */
enum audit_part audit_kind_part(enum audit_kind k);
const char *audit_kind_name(enum audit_kind k);     /* "two_results" */
const char *audit_kind_sentence(enum audit_kind k); /* what is wrong, in words */

struct audit_difference {
    enum audit_kind kind;
    char where
        [AUDIT_TEXT_MAX]; /* "job search.tags/0/17/1795..., results.search/0 offset 12" */
    char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
};

struct audit_counts {
    uint64_t jobs, results, waiting, in_flight, repeats,
        trimmed; /* jobs: the next three */
    uint64_t queues, runs;
    uint64_t charges, corrections, in_doubt, ledger_lines, open_rows;
    struct usd_sum paid, in_doubt_usd;
    uint64_t releases, comparisons; /* with a limit */
    uint64_t batches, members;
    uint64_t bills; /* rows of the invoice */
    struct usd_sum billed;
    uint64_t folded; /* records that stood more than once */
    uint64_t differences;
};

struct audit_conf {
    struct queue *queue;
    const char *dir;     /* where scratch files go */
    const char *invoice; /* NULL: none */
    void *ctx;
    void (*on_difference)(void *ctx, const struct audit_difference *d);
    /* Something that a reader of the report must know; no difference. */
    void (*on_note)(void *ctx, const char *text);
    /* Now and then: what is read, and how far. */
    void (*on_progress)(void *ctx, const char *what, uint64_t done, uint64_t all);
    /* One queue's sums; NULL: not wanted. */
    void (*on_queue)(void *ctx, const char *queue, const struct audit_counts *c);
};

/* 0: it was read to the end, whatever was found. */
int audit_run(const struct audit_conf *conf, struct audit_counts *ret, struct err *err);

#endif
