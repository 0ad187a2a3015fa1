/*
 * totals.h - spend records added up.
 *
 * spend_line_read takes one record of topic `spend` apart; totals_add adds it. The caller folds
 * by id first (spend_line_fold). What is unknown is counted, never added as zero. Amounts are
 * exact: cost + sum of saved[] = baseline, for every total as for every record.
 */
#ifndef OFFPEAK_CLI_TOTALS_H
#define OFFPEAK_CLI_TOTALS_H

#include "core/record.h"

struct seen;

enum tactic {
    TACTIC_DEDUPE,
    TACTIC_RESPONSE_CACHE,
    TACTIC_ROUTING,
    TACTIC_BATCH,
    TACTIC_PROMPT_CACHE,
    TACTICS
};
const char *tactic_name(enum tactic t); /* "dedupe": as in saved{} and saved_dedupe */

struct spend_line {
    struct spend_head head;
    bool known; /* cost and baseline are */
    struct usd_sum cost, baseline, saved[TACTICS];
    struct span source; /* "provider", "cache", "flight", raw; empty: none */
};

struct totals {
    uint64_t jobs;         /* ended: their final record was seen */
    uint64_t calls;        /* bought, or in doubt */
    uint64_t hits, joined; /* answered from the store, by an equal call under way */
    uint64_t in_doubt;
    uint64_t unknown; /* records without a known cost that are not in doubt */
    struct usd_sum cost, baseline, in_doubt_usd, saved[TACTICS];
};

int spend_line_read(const struct queue_msg *msg, struct spend_line *ret, struct err *err);
/* 1 the first time this record is seen, 0 afterwards. */
int spend_line_fold(const struct spend_line *l, struct seen *seen, struct err *err);
void totals_add(struct totals *t, const struct spend_line *l);
struct usd_sum totals_saved(const struct totals *t);

#endif
