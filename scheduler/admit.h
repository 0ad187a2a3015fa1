/*
 * admit.h - may this job run now? A pure decision.
 *
 * Everything it needs is handed in; it reads no clock and changes nothing. The order of the
 * questions is the order of what a person would want to hear first: is the line valid, was its
 * run cancelled, was it submitted for the endpoint that is asked now (what was meant for one provider is never
 * sent to another), is its model priced, is the queue paused, has it a limit at all (where it needs one), does
 * every limit leave room, does its run's own, is there room in flight.
 *
 * A gate is *closed* when nothing in flight can reopen it: no reservation stands on the line
 * that is full. While one stands, the job only waits for it to be settled. Where no line has the
 * limit that is needed, the gate is closed too.
 */
#ifndef OFFPEAK_SCHEDULER_ADMIT_H
#define OFFPEAK_SCHEDULER_ADMIT_H

#include "scheduler/ask.h"
#include "scheduler/books.h"
#include "scheduler/scheduler.h"

enum admit_kind { ADMIT_RUN, ADMIT_WAIT, ADMIT_REJECT, ADMIT_CANCEL };

struct admit_in {
    const struct ask *ask;
    const char *team, *feature;
    const char *endpoint;          /* its run's; NULL or "": any */
    const char *origin;            /* the endpoint that is asked now */
    const struct price_row *price; /* NULL: no row for its model */
    const char *prices;            /* version of the price book, for messages */
    enum lane lane;
    const char *no_lane, *no_lane_hint; /* why its lane is not known here; NULL: it is */
    const struct budget_edit *pause;    /* NULL: not paused */
    const struct line_view *lines;
    unsigned lines_n;
    bool cancelled;   /* its run was */
    bool needs_limit; /* of its team or its feature; a run's own does not do */
    bool flow_fits;
    int64_t wall_ms;
};

/* What the job can cost at most; also an input to flow. */
struct bound {
    uint64_t input_tokens, output_tokens; /* of one try */
    uint32_t tries;                       /* `usd` is for all of them */
    bool unlimited; /* the job states no output limit: its model's maximum counts */
    struct usd usd;
};

struct decision {
    enum admit_kind kind;
    struct bound bound;      /* of ADMIT_RUN: the reservation */
    char why[WHY_MAX];       /* of ADMIT_REJECT and ADMIT_CANCEL */
    struct gate gate;        /* of ADMIT_WAIT */
    const struct line *line; /* of a budget gate: the line that is full; NULL: no limit */
    struct usd limit;
};

/* -1: the amount does not fit 9.2 million dollars; then the job is rejected by admit. */
int admit_bound(const struct ask *ask, const struct price_row *price, enum lane lane,
                struct bound *ret);
void admit(const struct admit_in *in, struct decision *ret);

/* Room for the waiting job again, by the rule of a quarter (DESIGN: flow). */
bool admit_reopens(const struct line *line, struct usd limit, struct usd need);

#endif
