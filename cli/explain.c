#include "cli/explain.h"

#include "cli/gates.h"
#include "core/jtext.h"
#include "core/loop.h"
#include "core/queue.h"
#include "worker/journal.h"

#include <stdio.h>

#define LINE_BYTES_MAX QUEUE_VALUE_MAX
#define NOTE_BYTES_MAX ((size_t)8 << 10)

struct finding {
    struct queue *queue;
    struct queue_cursor *cur;
    const struct explain_wanted *wanted;
    const struct cli *cli;
    struct explain *to;
    uint32_t partitions; /* of `ready` */
    uint64_t ready_at;   /* of EXPLAIN_PLANNED: its place there */
};

/* ---- which job ---- */

static int keep_job(struct finding *f, const struct queue_msg *msg, struct err *err)
{
    struct explain *e = f->to;
    buf_reset(&e->line);
    if (buf_add(&e->line, msg->value.p, msg->value.n) < 0 ||
        topic_jobs_parse(msg->at.topic, e->team, e->feature) < 0) {
        return err_set(err, ERR_FAIL, "could not keep job '%s': no memory",
                       f->wanted->name);
    }
    ask_read(msg, PROMPT_L1, &e->ask);
    return 1;
}

static bool has_id(struct span line, const char *id)
{
    struct span value;
    return jtext_get(line, "custom_id", &value) && jtext_is_string(value, id);
}

/* Of what was found: the newest, and of one line its last attempt. */
struct newest {
    char run[RUN_MAX + 1];
    int64_t time_ms;
    bool found;
};

static int take_found(struct finding *f, const struct queue_msg *msg,
                      const struct job_head *head, struct newest *n, struct err *err)
{
    f->to->others += n->found && (head->attempt == 1 || strcmp(n->run, head->run));
    if (n->found && msg->time_ms < n->time_ms) {
        return 0;
    }
    n->found = true;
    n->time_ms = msg->time_ms;
    snprintf(n->run, sizeof(n->run), "%s", head->run);
    return keep_job(f, msg, err);
}

static int search_partition(struct finding *f, const char *topic, uint32_t partition,
                            struct newest *n, struct err *err)
{
    struct queue_msg msg;
    struct job_head head;
    int rc = queue_read_topic(f->cur, topic, partition, 0);
    while (rc >= 0 && (rc = queue_read(f->cur, &msg, err)) > 0) {
        if (job_head_decode(msg.headers, &head) < 0 ||
            (f->wanted->run && strcmp(f->wanted->run, head.run)) ||
            jtext_check(msg.value, NULL) < 0 || !has_id(msg.value, f->wanted->name)) {
            continue;
        }
        rc = take_found(f, &msg, &head, n, err);
    }
    return rc;
}

static int search_topic(struct finding *f, const char *topic, struct err *err)
{
    struct newest n = {.found = false};
    uint32_t partitions = 0;
    int rc = queue_partitions(f->queue, topic, &partitions, err);
    for (uint32_t p = 0; p < partitions && rc >= 0; p++) {
        rc = search_partition(f, topic, p, &n, err);
    }
    return rc < 0 ? rc : n.found;
}

static int search_custom_id(struct finding *f, struct err *err)
{
    char after[QUEUE_NAME_MAX] = "", topic[QUEUE_NAME_MAX];
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    struct queue_cursor *names = NULL;
    int found = 0, rc = queue_cursor_open(f->queue, &names, err);
    while (rc >= 0 && (rc = queue_topics(names, PREFIX_JOBS, after, topic, err)) > 0) {
        memcpy(after, topic, sizeof(after));
        if (topic_jobs_parse(topic, team, feature) < 0 ||
            (f->wanted->team && strcmp(f->wanted->team, team)) ||
            (f->wanted->feature && strcmp(f->wanted->feature, feature))) {
            continue;
        }
        rc = search_topic(f, topic, err);
        f->to->others += found && rc > 0;
        found |= rc > 0;
    }
    queue_cursor_close(names);
    return rc < 0 ? rc : found;
}

/* "search.tags/0/17/1795279027258" */
static int fetch_by_id(struct finding *f, struct err *err)
{
    char id[JOB_ID_MAX];
    struct queue_at at;
    struct queue_msg msg;
    if (job_id_place(span_str(f->wanted->name), &at) < 0) {
        return 0;
    }
    int rc = queue_fetch(f->cur, &at, &msg, err);
    if (rc <= 0) {
        return rc;
    }
    job_id_format(&msg, id);
    return strcmp(id, f->wanted->name) ? 0 : keep_job(f, &msg, err);
}

static int find_job(struct finding *f, struct err *err)
{
    int rc = fetch_by_id(f, err);
    if (rc == 0) {
        rc = search_custom_id(f, err);
    }
    if (rc != 0) {
        return rc < 0 ? rc : 0;
    }
    err_set(err, ERR_USAGE, "could not explain '%s': no job has that id or custom_id%s%s",
            f->wanted->name, f->wanted->run ? " in run " : "",
            f->wanted->run ? f->wanted->run : "");
    err_hint(err, "ids stand in the results: offpeak results --run ID; jobs are kept for "
                  "the setting 'retain'");
    return -ERR_USAGE;
}

/* ---- its run and its question ---- */

static int read_run(struct finding *f, struct err *err)
{
    struct explain *e = f->to;
    char table[QUEUE_NAME_MAX], key[QUEUE_KEY_MAX];
    struct queue_msg msg;
    table_runs(e->team, table);
    run_key(e->feature, e->ask.head.run, key);
    int rc = queue_table_get(f->cur, table, 0, span_str(key), &msg, err);
    if (rc > 0) {
        rc = run_row_decode(msg.value, &e->row, err);
        e->has_row = rc >= 0;
    }
    if (rc >= 0 && e->has_row && e->row.level != PROMPT_L1) {
        struct queue_at at = e->ask.at;
        rc = queue_fetch(f->cur, &at, &msg, err);
        if (rc > 0) {
            ask_read(&msg, e->row.level, &e->ask);
        }
    }
    return rc;
}

static int read_answer(struct finding *f, struct err *err)
{
    static const struct answer_want any = {.now_ms = INT64_MIN, .fresh_ms = INT64_MIN};
    struct explain *e = f->to;
    struct stored_answer a;
    if (e->ask.why[0] || !e->has_row) {
        return 0;
    }
    e->key =
        prompt_key(e->team, e->row.endpoint, e->ask.path, e->row.level, &e->ask.prompt);
    uint32_t partition =
        ready_partition(e->ask.prompt.chain[0].hash, &e->key, f->partitions);
    int rc = answer_get(f->cur, partition, &e->key, &any, &a, err);
    if (rc > 0) {
        e->has_answer = true;
        e->answer_ms = a.stored_ms;
        snprintf(e->answer_run, sizeof(e->answer_run), "%s", a.run);
    }
    return rc;
}

/* ---- where it stands ---- */

static int read_result(struct finding *f, struct err *err)
{
    struct explain *e = f->to;
    char topic[QUEUE_NAME_MAX];
    struct queue_msg msg;
    topic_results(e->team, topic);
    int rc = queue_read_topic(f->cur, topic, 0, e->has_row ? e->row.results_from : 0);
    while (rc >= 0 && (rc = queue_read(f->cur, &msg, err)) > 0) {
        if (!span_is(msg.key, e->ask.job)) {
            continue;
        }
        if (result_head_decode(msg.headers, &e->result) < 0 ||
            jtext_check(msg.value, NULL) < 0 ||
            buf_add(&e->result_line, msg.value.p, msg.value.n) < 0) {
            return err_set(err, ERR_VERSION, "could not read the result of '%s'",
                           e->ask.job);
        }
        e->state = EXPLAIN_ENDED;
        return 1;
    }
    return rc;
}

static int read_ready_of(struct finding *f, uint32_t partition, struct err *err)
{
    struct queue_msg msg;
    struct release r;
    int rc = queue_read_topic(f->cur, TOPIC_READY, partition, 0);
    while (rc >= 0 && (rc = queue_read(f->cur, &msg, err)) > 0) {
        if (release_decode(msg.headers, &r) == 0 && !strcmp(r.job, f->to->ask.job)) {
            f->to->state = EXPLAIN_PLANNED;
            f->ready_at = place_of(partition, msg.at.offset);
            return 1;
        }
    }
    return rc;
}

static int read_ready(struct finding *f, struct err *err)
{
    int rc = 0;
    for (uint32_t p = 0; p < f->partitions && rc == 0; p++) {
        rc = read_ready_of(f, p, err);
    }
    return rc;
}

static int on_entry(void *ctx, const struct journal_entry *entry, struct err *err)
{
    struct finding *f = ctx;
    struct explain *e = f->to;
    (void)err;
    for (uint32_t i = 0; i < entry->n; i++) {
        struct span id, state;
        if (entry->at[i] != f->ready_at) {
            continue;
        }
        e->state = EXPLAIN_BATCHED;
        if (jtext_get(entry->row, "id", &id)) {
            id = jtext_inside(id);
            snprintf(e->batch, sizeof(e->batch), "%.*s", (int)id.n, id.p);
        }
        if (jtext_get(entry->row, "state", &state)) {
            state = jtext_inside(state);
            snprintf(e->batch_state, sizeof(e->batch_state), "%.*s", (int)state.n,
                     state.p);
        }
    }
    return 0;
}

static void take_gate(struct explain *e, const struct beat *beat)
{
    char queue[TEAM_MAX + FEATURE_MAX + 2];
    snprintf(queue, sizeof(queue), "%s/%s", e->team, e->feature);
    for (unsigned i = 0; i < beat->gates_n; i++) {
        if (!strcmp(beat->gates[i].queue, queue)) {
            e->gate = beat->gates[i];
            e->has_gate = true;
        }
    }
}

/* On Kafka: what the scheduler says to the first that waits there. */
static int read_gate_there(struct finding *f, struct err *err)
{
    struct explain *e = f->to;
    const struct gates_conf conf = {
        .cli = f->cli, .queue = f->queue, .team = e->team, .feature = e->feature};
    struct gates *gates = NULL;
    struct gates_view view;
    struct beat beat = {0};
    int rc = gates_open(&gates, &conf, err);
    if (rc >= 0) {
        rc = gates_look(gates, &view, err);
    }
    if (rc >= 0) {
        gates_beat(&view, f->cli, &beat);
        take_gate(e, &beat);
    }
    gates_close(gates);
    return rc;
}

static int read_gate(struct finding *f, struct err *err)
{
    struct explain *e = f->to;
    struct beat beat;
    _cleanup_(buf_fini) struct buf note;
    buf_init(&note, NOTE_BYTES_MAX);
    if (cli_on_broker(f->cli)) {
        e->owner = true; /* its scheduler and workers, as far as is known here */
        return e->state == EXPLAIN_WAITS ? read_gate_there(f, err) : 0;
    }
    int rc = queue_owner_read(f->queue, &note, err);
    e->owner = rc > 0;
    if (rc > 0 && e->state == EXPLAIN_WAITS && beat_read(f->cli->data, &beat)) {
        take_gate(e, &beat);
    }
    return rc;
}

static int read_place(struct finding *f, struct err *err)
{
    struct explain *e = f->to;
    struct queue_msg msg;
    struct open_row open;
    int rc = read_result(f, err);
    if (rc == 0) {
        rc = read_ready(f, err);
    }
    if (rc >= 0 && e->state == EXPLAIN_PLANNED) {
        rc = journal_read(f->queue, place_partition(f->ready_at), on_entry, f, err);
    }
    if (rc >= 0) {
        rc = queue_table_get(f->cur, TABLE_OPEN, 0, span_str(e->ask.job), &msg, err);
    }
    if (rc > 0) {
        rc = open_row_decode(msg.value, &open, err);
        e->reserved_now = rc >= 0;
        e->reserved = open.reserved;
    }
    return rc < 0 ? rc : read_gate(f, err);
}

/* ---- what it cost ---- */

static int read_charges(struct finding *f, struct err *err)
{
    struct explain *e = f->to;
    struct queue_msg msg;
    struct spend_head head;
    int rc = queue_read_topic(f->cur, TOPIC_SPEND, 0, e->has_row ? e->row.spend_from : 0);
    while (rc >= 0 && e->charges_n < EXPLAIN_CHARGES_MAX &&
           (rc = queue_read(f->cur, &msg, err)) > 0) {
        if (spend_head_decode(msg.headers, &head) < 0 || strcmp(head.job, e->ask.job) ||
            jtext_check(msg.value, NULL) < 0) {
            continue;
        }
        struct buf *to = &e->charges[e->charges_n++];
        buf_init(to, LINE_BYTES_MAX);
        if (buf_add(to, msg.value.p, msg.value.n) < 0) {
            return err_set(err, ERR_FAIL, "could not keep a charge: no memory");
        }
    }
    return rc;
}

/* ---- all of it ---- */

int explain_find(const struct cli *c, struct queue *q,
                 const struct explain_wanted *wanted, struct explain *ret,
                 struct err *err)
{
    static int (*const steps[])(struct finding *, struct err *) = {
        find_job, read_run, read_answer, read_place, read_charges};
    struct finding f = {.queue = q, .wanted = wanted, .cli = c, .to = ret};
    *ret = (struct explain){.state = EXPLAIN_WAITS};
    buf_init(&ret->line, LINE_BYTES_MAX);
    buf_init(&ret->result_line, LINE_BYTES_MAX);
    int rc = queue_cursor_open(q, &f.cur, err);
    rc = rc < 0 ? rc : queue_partitions(q, TOPIC_READY, &f.partitions, err);
    for (size_t i = 0; i < ARRAY_LEN(steps) && rc >= 0; i++) {
        rc = steps[i](&f, err);
    }
    queue_cursor_close(f.cur);
    return rc < 0 ? rc : 0;
}

void explain_fini(struct explain *e)
{
    buf_fini(&e->line);
    buf_fini(&e->result_line);
    for (unsigned i = 0; i < e->charges_n; i++) {
        buf_fini(&e->charges[i]);
    }
}
