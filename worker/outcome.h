/*
 * outcome.h - how one job ends: the decision, before anything is written.
 *
 * Six ways lead to an end, one function each. All are pure: they read a release, an answer and
 * the price book and fill in a struct outcome; worker/settle_record.h turns it into records.
 * Spans and strings are borrowed from the arguments.
 *
 * Money: a bought answer costs what price_charge says for the model asked on the day of its
 * release. When the provider reported no usage, or the book has no such price any more, the cost
 * is unknown and the reservation stays booked as in doubt; the answer is delivered all the same.
 */
#ifndef OFFPEAK_WORKER_OUTCOME_H
#define OFFPEAK_WORKER_OUTCOME_H

#include "worker/settle.h"

#define OUTCOME_CODE_MAX 32

struct outcome {
    enum status status;
    bool dead;     /* a copy goes to the operators */
    bool paid;     /* a call was bought for this job */
    bool provider; /* a provider was asked, for this job or for the answer it got */
    char code[OUTCOME_CODE_MAX]; /* of a job that is not ok */
    char why[WHY_MAX];           /* ... in words */

    bool answered; /* there is a response: who gave it, and what it says */
    enum answer_source source;
    int http_status;
    struct span body; /* raw JSON object, or empty: null */
    struct span
        error; /* raw error object of a line without a response; empty: code, why */
    const char *request_id, *model_used; /* NULL or empty: null */
    const char *batch;                   /* of a call of its own; NULL */

    enum spend_kind kind;
    uint32_t try_n; /* which of the tries of its call; 0 or 1 the first */
    bool again;     /* in doubt, and the call is made again: the job has no end yet */
    bool cost_known;
    struct usd booked; /* billed; in doubt: the bound */
    struct charge charge;
    struct usage usage;
};

struct pricing {
    const struct price_book *book;
    const char *provider;
};

/* A bought answer, status 200. */
void outcome_answer(const struct pricing *p, const struct release *r,
                    const struct answer *a, const char *batch, struct outcome *ret);
/* Its own call failed for good. Free, unless the provider reported usage. */
void outcome_failure(const struct pricing *p, const struct release *r,
                     const struct answer *a, const char *batch, struct outcome *ret);
/* It waited for a call that was refused, and would be refused alike. */
void outcome_same_failure(const struct answer *a, struct outcome *ret);
/* Its call may have been billed and no answer will come. */
void outcome_doubt(const struct release *r, const char *why, const char *batch,
                   struct outcome *ret);
/* A stored answer, or one that was under way (`flight`). */
void outcome_hit(const struct pricing *p, const struct release *r,
                 const struct stored_answer *a, bool flight, struct outcome *ret);
/* Rejected or cancelled at admission: `why` may begin with a code ("max_cost: ..."). */
void outcome_verdict(const struct release *r, struct outcome *ret);
/* Its result cannot be stored: failed, what it cost stays. */
void outcome_too_large(struct outcome *o, size_t bytes, size_t max);

#endif
