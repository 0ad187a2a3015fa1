#include "cli/follow.h"

#include "cli/seen.h"

#include <stdlib.h>

struct follow {
    struct follow_conf conf;
    struct queue_cursor *results, *spend;
    struct seen *lines, *events;
    struct follow_status status;
};

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

static int take_result(struct follow *f, const struct queue_msg *msg, struct err *err)
{
    struct result_head head;
    if (result_head_decode(msg->headers, &head) < 0) {
        return err_set(err, ERR_VERSION,
                       "could not read result %llu of '%s': its headers are broken",
                       (unsigned long long)msg->at.offset, msg->at.topic);
    }
    if (strcmp(head.run, f->conf.run) || strcmp(head.feature, f->conf.feature)) {
        return 0;
    }
    int rc = seen_add(f->lines, SPAN_LIT("line"), head.line);
    if (rc < 0) {
        return err_set(err, ERR_FAIL,
                       "could not count the results of run '%s': no memory", f->conf.run);
    }
    if (rc == 0) {
        return 0;
    }
    f->status.results++;
    f->status.by_status[head.status]++;
    f->status.unlimited += head.unlimited;
    f->status.max_cost += head.status == STATUS_CANCELLED &&
                          !strcmp(head.why, "max_cost");
    return f->conf.on_result ? f->conf.on_result(f->conf.ctx, &head, msg->value, err) : 0;
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

int follow_step(struct follow *f, struct err *err)
{
    int results = step(f, f->results, take_result, err);
    int spend = 0;
    if (results >= 0 && !f->conf.no_spend) {
        spend = step(f, f->spend, take_spend, err);
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
