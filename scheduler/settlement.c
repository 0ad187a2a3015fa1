#include "scheduler/scheduler_int.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A settlement puts one row away; the ledger rows it changed and the mark come on top. */
#define SETTLE_ROOM (BOOKS_LINES_MAX + 2)

static const char mark_key[] = "spend";

/* The jobs settled in this slice: their rows in `open` are gone only with its commit, so a
 * second final record of one job must be noticed here. */
struct settled {
    void *tree;
};

static int text_cmp(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int settled_add(struct settled *s, const char *job)
{
    if (tfind(job, &s->tree, text_cmp)) {
        return 0;
    }
    char *copy = strdup(job);
    if (!copy || !tsearch(copy, &s->tree, text_cmp)) {
        free(copy);
        return -1;
    }
    return 1;
}

int settlement_load(struct scheduler *s, struct err *err)
{
    struct queue_msg row;
    int rc = queue_table_get(s->rows, TABLE_MARKS, SPAN_LIT(mark_key), &row, err);
    if (rc > 0 && span_u64(row.value, &s->spend_next) < 0) {
        return err_set(err, ERR_FAIL, "could not read mark 'spend': it is no number");
    }
    return rc < 0 ? rc : 0;
}

static void warn_overrun(struct scheduler *s, const struct open_row *open,
                         const struct spend_head *spend)
{
    char subject[TEAM_MAX + FEATURE_MAX + 2], text[300];
    char cost[USD_TEXT_MAX], held[USD_TEXT_MAX];
    if (usd_cmp(spend->cost, open->reserved) <= 0) {
        return;
    }
    snprintf(subject, sizeof(subject), "%s/%s", open->team, open->feature);
    snprintf(text, sizeof(text),
             "job %s was billed $%s, more than its bound of $%s: check the price book",
             spend->job, usd_format(spend->cost, cost), usd_format(open->reserved, held));
    s->conf.on_event(s->conf.ctx, subject, text);
}

static int end_reservation(struct scheduler *s, struct queue_tx *tx,
                           const struct open_row *open, const struct spend_head *spend,
                           struct err *err)
{
    struct line_view lines[BOOKS_LINES_MAX];
    unsigned n;
    struct payer payer = {.team = open->team,
                          .feature = open->feature,
                          .run = open->run,
                          .day = open->day,
                          .max_cost = open->on_run ? &open->reserved : NULL};
    int rc = books_lines(s->books, s->rows, &payer, lines, &n, err);
    if (rc < 0) {
        return rc;
    }
    warn_overrun(s, open, spend);
    books_settle(s->books, lines, n, open, spend);
    flow_sub(s->flow, open->model, open->tokens);
    return queue_table_put(tx, TABLE_OPEN, span_str(spend->job), SPAN_NONE, err);
}

/* A record counts while its job is in `open`, once: anything else was counted before. */
static int apply(struct scheduler *s, struct queue_tx *tx, struct settled *settled,
                 const struct queue_msg *msg, struct err *err)
{
    struct spend_head spend;
    struct open_row open;
    struct queue_msg row;
    if (spend_head_decode(msg->headers, &spend) < 0 || !spend.final) {
        return 0;
    }
    int rc = queue_table_get(s->rows, TABLE_OPEN, span_str(spend.job), &row, err);
    if (rc <= 0) {
        return rc;
    }
    rc = open_row_decode(row.value, &open, err);
    if (rc < 0 || open.attempt != spend.attempt) {
        return rc;
    }
    rc = settled_add(settled, spend.job);
    if (rc < 0) {
        return err_set(err, ERR_FAIL, "could not settle '%s': out of memory", spend.job);
    }
    return rc > 0 ? end_reservation(s, tx, &open, &spend, err) : 0;
}

static int put_mark(struct scheduler *s, struct queue_tx *tx, struct err *err)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)s->spend_next);
    return queue_table_put(tx, TABLE_MARKS, SPAN_LIT(mark_key), span_str(text), err);
}

static bool room(const struct scheduler *s, unsigned n)
{
    return n + books_dirty(s->books) + SETTLE_ROOM <= QUEUE_TX_RECORDS;
}

static int apply_slice(struct scheduler *s, struct queue_tx *tx, struct err *err)
{
    struct settled settled = {0};
    struct queue_msg msg;
    unsigned n = 0;
    int rc = queue_read_topic(s->spend, TOPIC_SPEND, 0, s->spend_next);
    while (rc >= 0 && room(s, n) && (rc = queue_read(s->spend, &msg, err)) > 0) {
        rc = apply(s, tx, &settled, &msg, err);
        s->spend_next = msg.at.offset + 1;
        n++;
    }
    tdestroy(settled.tree, free);
    if (rc >= 0 && n > 0) {
        rc = books_write(s->books, tx, err);
    }
    if (rc >= 0 && n > 0) {
        rc = put_mark(s, tx, err);
    }
    return rc < 0 ? rc : (int)n;
}

int settlement_step(struct scheduler *s, struct err *err)
{
    struct queue_tx *tx;
    int rc = queue_begin(s->conf.queue, &tx);
    if (rc < 0) {
        return err_set(err, ERR_FAIL, "could not begin a commit: out of memory");
    }
    rc = apply_slice(s, tx, err);
    if (rc <= 0) {
        queue_tx_drop(tx);
        return rc;
    }
    scheduler_commit(s, tx);
    return 1;
}
