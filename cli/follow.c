#include "cli/follow.h"

#include "cli/seen.h"
#include "core/jtext.h"
#include "core/kafka.h"

#include <stdio.h>
#include <stdlib.h>

struct follow {
    struct follow_conf conf;
    struct queue_cursor *results, *spend;
    struct seen *lines, *events;
    uint64_t attempts; /* of the run, when the following began */
    struct follow_status status;
};

/* ---- attempts ----
 * The lines that have a result of an attempt are one stream of `lines`, and those of them that
 * ended not ok another: "2", "2 failed". What a later attempt replaces can be told from them. */

typedef char stream_name[40];

static struct span stream_of(uint64_t attempt, const char *status, stream_name ret)
{
    int n = snprintf(ret, sizeof(stream_name), "%llu%s%s", (unsigned long long)attempt,
                     status ? " " : "", status ? status : "");
    return span_of(ret, (size_t)n);
}

/* 1 *ret is how the line ended before, 0 it has not. */
static int ended_before(struct follow *f, const struct result_head *head,
                        enum status *ret)
{
    stream_name name;
    for (uint64_t a = head->attempt - 1; a >= 1 && head->attempt > 1; a--) {
        if (!seen_has(f->lines, stream_of(a, NULL, name), head->line)) {
            continue;
        }
        *ret = STATUS_OK;
        for (enum status s = STATUS_FAILED; s <= STATUS_REJECTED; s++) {
            if (seen_has(f->lines, stream_of(a, status_name(s), name), head->line)) {
                *ret = s;
            }
        }
        return 1;
    }
    return 0;
}

static bool replaced_later(struct follow *f, const struct result_head *head)
{
    stream_name name;
    for (uint64_t a = head->attempt + 1; a <= f->attempts; a++) {
        if (seen_has(f->lines, stream_of(a, "later", name), head->line)) {
            return true;
        }
    }
    return false;
}

static bool is_of_run(const struct follow *f, const struct result_head *head)
{
    return !strcmp(head->run, f->conf.run) && !strcmp(head->feature, f->conf.feature);
}

/* Which lines have a result that replaces another: read ahead when the run was retried. */
static int read_later(struct follow *f, const char *topic, struct err *err)
{
    struct queue_msg msg;
    struct result_head head;
    stream_name name;
    int rc = queue_read_topic(f->results, topic, 0, f->conf.results_from);
    while (rc >= 0 && (rc = queue_read(f->results, &msg, err)) > 0) {
        if (result_head_decode(msg.headers, &head) == 0 && is_of_run(f, &head) &&
            head.attempt > 1 &&
            seen_add(f->lines, stream_of(head.attempt, "later", name), head.line) < 0) {
            rc = err_set(err, ERR_FAIL, "could not follow run '%s': no memory",
                         f->conf.run);
        }
    }
    return rc;
}

static int read_attempts(struct follow *f, const char *topic, struct err *err)
{
    char table[QUEUE_NAME_MAX], key[QUEUE_KEY_MAX];
    struct queue_msg msg;
    struct run_row row;
    table_runs(f->conf.team, table);
    run_key(f->conf.feature, f->conf.run, key);
    int rc = queue_table_get(f->results, table, 0, span_str(key), &msg, err);
    if (rc > 0) {
        rc = run_row_decode(msg.value, &row, err);
        f->attempts = rc >= 0 ? row.attempt : 0;
    }
    return rc < 0 || f->attempts < 2 || !f->conf.on_result ? rc
                                                           : read_later(f, topic, err);
}

/* ---- opening ---- */

int follow_open(struct follow **ret, const struct follow_conf *conf, struct err *err)
{
    struct follow *f = calloc(1, sizeof(*f));
    if (!f) {
        return err_set(err, ERR_FAIL, "could not follow run '%s': no memory", conf->run);
    }
    f->conf = *conf;
    f->lines = seen_create();
    f->events = seen_create();
    char topic[QUEUE_NAME_MAX];
    topic_results(conf->team, topic);
    int rc = f->lines && f->events ? 0 : -ERR_FAIL;
    if (rc < 0) {
        err_set(err, ERR_FAIL, "could not follow run '%s': no memory", conf->run);
    }
    if (rc >= 0) {
        rc = queue_cursor_open(conf->queue, &f->results, err);
    }
    if (rc >= 0) {
        rc = queue_cursor_open(conf->queue, &f->spend, err);
    }
    if (rc >= 0) {
        rc = read_attempts(f, topic, err);
    }
    if (rc >= 0 && (queue_read_topic(f->results, topic, 0, conf->results_from) < 0 ||
                    queue_read_topic(f->spend, TOPIC_SPEND, 0, conf->spend_from) < 0)) {
        rc = err_set(err, ERR_FAIL, "could not read the results of run '%s'", conf->run);
    }
    if (rc < 0) {
        follow_close(f);
        return rc;
    }
    *ret = f;
    return 0;
}

struct follow *follow_close(struct follow *f)
{
    if (f) {
        queue_cursor_close(f->results);
        queue_cursor_close(f->spend);
        seen_destroy(f->lines);
        seen_destroy(f->events);
        free(f);
    }
    return NULL;
}

const struct follow_status *follow_status(const struct follow *f)
{
    return &f->status;
}

/* 1 it counts, 0 it was seen before, -1 no memory. */
static int count_result(struct follow *f, const struct result_head *head)
{
    struct follow_status *s = &f->status;
    enum status before;
    stream_name name;
    int rc = seen_add(f->lines, stream_of(head->attempt, NULL, name), head->line);
    if (rc > 0 && head->status != STATUS_OK) {
        rc = seen_add(f->lines, stream_of(head->attempt, status_name(head->status), name),
                      head->line);
        rc = rc < 0 ? rc : 1;
    }
    if (rc <= 0) {
        return rc;
    }
    s->ends++;
    if (ended_before(f, head, &before)) {
        s->by_status[before]--;
    } else {
        s->results++;
        s->unlimited += head->unlimited;
    }
    s->by_status[head->status]++;
    s->max_cost += head->status == STATUS_CANCELLED && !strcmp(head->why, "max_cost");
    return 1;
}

static int take_result(struct follow *f, const struct queue_msg *msg, struct err *err)
{
    struct result_head head;
    if (result_head_decode(msg->headers, &head) < 0) {
        return err_set(err, ERR_VERSION,
                       "could not read result %llu of '%s': its headers are broken",
                       (unsigned long long)msg->at.offset, msg->at.topic);
    }
    if (!is_of_run(f, &head)) {
        return 0;
    }
    int rc = count_result(f, &head);
    if (rc < 0) {
        return err_set(err, ERR_FAIL,
                       "could not count the results of run '%s': no memory", f->conf.run);
    }
    if (rc == 0 || !f->conf.on_result || replaced_later(f, &head)) {
        return 0;
    }
    if (jtext_check(msg->value, NULL) < 0 || jtext_type(msg->value) != JTEXT_OBJECT) {
        return err_set(err, ERR_VERSION,
                       "could not read result %llu of '%s': it is no JSON object",
                       (unsigned long long)msg->at.offset, msg->at.topic);
    }
    return f->conf.on_result(f->conf.ctx, &head, msg->value, err);
}

static int take_spend(struct follow *f, const struct queue_msg *msg, struct err *err)
{
    struct spend_line line;
    int rc = spend_line_read(msg, &line, err);
    if (rc < 0 || strcmp(line.head.run, f->conf.run) ||
        strcmp(line.head.team, f->conf.team) ||
        strcmp(line.head.feature, f->conf.feature)) {
        return rc;
    }
    rc = spend_line_fold(&line, f->events, err);
    if (rc > 0) {
        totals_add(&f->status.money, &line);
    }
    return rc < 0 ? rc : 0;
}

typedef int (*take_fn)(struct follow *f, const struct queue_msg *msg, struct err *err);

static int step(struct follow *f, struct queue_cursor *from, take_fn take,
                struct err *err)
{
    struct queue_msg msg;
    for (int i = 0; i < FOLLOW_STEP; i++) {
        int rc = queue_read(from, &msg, err);
        if (rc <= 0) {
            return rc;
        }
        rc = take(f, &msg, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 1;
}

/* On Kafka a team may read its results, and what all teams spend only when it was let. */
static int step_spend(struct follow *f, struct err *err)
{
    struct err why = {0};
    int rc = step(f, f->spend, take_spend, &why);
    if (rc < 0 && kafka_denied(&why)) {
        f->conf.no_spend = f->status.no_money = true;
        return 0;
    }
    if (rc < 0) {
        *err = why;
    }
    return rc;
}

int follow_step(struct follow *f, struct err *err)
{
    int results = step(f, f->results, take_result, err);
    int spend = 0;
    if (results >= 0 && !f->conf.no_spend) {
        spend = step_spend(f, err);
    }
    return results < 0 ? results : spend < 0 ? spend : results || spend;
}

int follow_all(const struct follow_conf *conf, struct follow_status *ret, struct err *err)
{
    struct follow *f = NULL;
    int rc = follow_open(&f, conf, err);
    while (rc >= 0 && (rc = follow_step(f, err)) > 0) {
    }
    if (rc >= 0) {
        *ret = f->status;
    }
    follow_close(f);
    return rc;
}
