#include "cli/audit.h"

#include "cli/audit_int.h"
#include "core/hash.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- telling ---- */

void audit_differs(struct audit *a, enum audit_kind kind, const char *where,
                   const char *expected, const char *found)
{
    struct audit_difference d = {.kind = kind};
    snprintf(d.where, sizeof(d.where), "%s", where);
    snprintf(d.expected, sizeof(d.expected), "%s", expected);
    snprintf(d.found, sizeof(d.found), "%s", found);
    a->counts.differences++;
    a->conf->on_difference(a->conf->ctx, &d);
}

void audit_note(struct audit *a, const char *fmt, ...)
{
    char text[2 * AUDIT_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    a->conf->on_note(a->conf->ctx, text);
}

void audit_progress(struct audit *a, const char *what, uint64_t done, uint64_t all)
{
    if (++a->said >= AUDIT_EVERY) {
        a->said = 0;
        a->conf->on_progress(a->conf->ctx, what, done, all);
    }
}

const char *audit_at(const struct queue_at *at, char ret[static AUDIT_TEXT_MAX])
{
    snprintf(ret, AUDIT_TEXT_MAX, "%s/%u offset %" PRIu64, at->topic, at->partition,
             at->offset);
    return ret;
}

/* ---- names ---- */

int audit_name(struct audit *a, enum audit_names kind, struct span name, uint64_t *ret,
               struct err *err)
{
    char key[IDSET_KEY_MAX];
    size_t n = MIN_OF(name.n, sizeof(key) - 1);
    key[0] = (char)('a' + (int)kind);
    memcpy(key + 1, name.p, n);
    int rc = idset_add(a->names, span_of(key, n + 1), a->named[kind], ret, err);
    if (rc > 0) {
        *ret = a->named[kind]++;
    }
    return rc;
}

int audit_run_of(struct audit *a, const char *team, const char *feature, const char *run,
                 uint64_t *ret, struct err *err)
{
    char name[AUDIT_RUN_MAX];
    snprintf(name, sizeof(name), "%s/%s/%s", team, feature, run);
    if (strcmp(name, a->last_run) == 0) {
        *ret = a->last_run_at;
        return 0;
    }
    int rc = audit_name(a, NAME_RUN, span_str(name), ret, err);
    if (rc > 0) {
        struct audit_run *r = slots_at(a->run, *ret, err);
        rc = r ? 0 : -ERR_FAIL;
        if (r) {
            memcpy(r->name, name, sizeof(name));
        }
    }
    if (rc >= 0) {
        memcpy(a->last_run, name, sizeof(name));
        a->last_run_at = *ret;
    }
    return rc;
}

uint64_t audit_digest(struct span bytes)
{
    return hash_u64(hash_of(bytes)) | 1; /* never 0 */
}

uint64_t audit_record_digest(const struct queue_msg *msg)
{
    struct hash *h = hash_open();
    hash_add(h, msg->headers.p, msg->headers.n);
    hash_add(h, msg->value.p, msg->value.n);
    return hash_u64(hash_end(h));
}

uint32_t audit_day(const char *day)
{
    uint32_t number = 0;
    for (; *day; day++) {
        if (*day >= '0' && *day <= '9') {
            number = number * 10 + (uint32_t)(*day - '0');
        }
    }
    return number;
}

/* ---- the order of things ---- */

static int open_all(struct audit *a, struct err *err)
{
    const struct {
        struct slots **at;
        size_t size;
    } files[] = {
        {&a->job, sizeof(struct audit_job)},
        {&a->in_ready, sizeof(struct audit_ready)},
        {&a->run, sizeof(struct audit_run)},
        {&a->line, sizeof(struct audit_line)},
        {&a->open, sizeof(struct audit_open)},
        {&a->batch, sizeof(struct audit_batch)},
        {&a->last, 16},
        {&a->member, sizeof(struct audit_member)},
        {&a->tries, sizeof(struct audit_try)},
        {&a->bill, sizeof(struct audit_bill)},
    };
    int rc = queue_cursor_open(a->conf->queue, &a->cur, err);
    if (rc >= 0) {
        rc = queue_cursor_open(a->conf->queue, &a->look, err);
    }
    if (rc >= 0) {
        rc = idset_open(&a->names, a->conf->dir, err);
    }
    for (unsigned i = 0; rc >= 0 && i < ARRAY_LEN(files); i++) {
        rc = slots_open(files[i].at, a->conf->dir, files[i].size, err);
    }
    a->payers = calloc(AUDIT_PAYERS, sizeof(*a->payers));
    if (rc >= 0 && !a->payers) {
        rc = err_set(err, ERR_FAIL, "could not audit: out of memory");
    }
    return rc;
}

static void close_all(struct audit *a)
{
    struct slots *files[] = {a->job,   a->in_ready, a->run,    a->line,  a->open,
                             a->batch, a->last,     a->member, a->tries, a->bill};
    for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
        slots_close(files[i]);
    }
    queue_cursor_close(a->cur);
    queue_cursor_close(a->look);
    idset_close(a->names);
    audit_logs_fini(&a->jobs);
    audit_logs_fini(&a->ready);
    audit_logs_fini(&a->results);
    free(a->edits);
    free(a->scopes);
    free(a->payers);
}

/* Tables between two looks at the ends of the topics: see audit.h. */
static int (*const steps[])(struct audit *a, struct err *err) = {
    audit_look_first,    audit_read_ledger,   audit_read_budgets, audit_read_runs,
    audit_read_open,     audit_read_batches,  audit_look_again,   audit_invoice_read,
    audit_jobs,          audit_apply_open,    audit_walk,         audit_results,
    audit_look_kept,     audit_apply_members, audit_end,          audit_judge_lines,
    audit_invoice_judge,
};

int audit_run(const struct audit_conf *conf, struct audit_counts *ret, struct err *err)
{
    struct audit a = {.conf = conf};
    int rc = open_all(&a, err);
    for (unsigned i = 0; rc >= 0 && i < ARRAY_LEN(steps); i++) {
        rc = steps[i](&a, err);
    }
    if (rc >= 0) {
        *ret = a.counts;
    }
    close_all(&a);
    return rc < 0 ? rc : 0;
}
