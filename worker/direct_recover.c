/*
 * What a direct lane finds in its journal after a crash.
 *
 * Every call that stands there without a result is in doubt: it was about to leave, under way,
 * or answered and not yet committed, and nobody can tell which. If a try is left, one commit
 * books it, deletes the slice and journals the call at its next try; it is then made before all
 * others. If none is left it is booked and its job ends failed. A call that stands in two slices
 * was booked once already, by the commit that wrote the later one: the higher try counts.
 */
#include "worker/direct.h"

#include "core/fields.h"
#include "worker/journal.h"
#include "worker/released.h"
#include <stdio.h>
#include <stdlib.h>

#define DOUBT_WHY "the process ended before the answer was stored"

struct row {
    char lane[16], state[16], id[BATCH_ID_BYTES], account[64], origin[256];
    uint32_t requests, try_n;
    int64_t created_ms;
};

static const struct field row_table[] = {
    FIELD_TEXT_OF(struct row, lane, "lane"),
    FIELD_TEXT_OF(struct row, state, "state"),
    FIELD_TEXT_OF(struct row, id, "id"),
    FIELD_OF(struct row, FIELD_U32, try_n, "try"),
    FIELD_TEXT_OF(struct row, account, "account"),
    FIELD_TEXT_OF(struct row, origin, "origin"),
    FIELD_OF(struct row, FIELD_U32, requests, "requests"),
    FIELD_OF(struct row, FIELD_I64, created_ms, "created_ms"),
};
static const struct fields row_fields = FIELDS("row of 'batches'", row_table);

int direct_row_encode(const struct lane_direct *l, const struct direct_slice *s,
                      uint32_t n, struct buf *json)
{
    struct row r = {.state = "sent",
                    .requests = n,
                    .try_n = s->try_n,
                    .created_ms = loop_wall_ms(l->conf.loop)};
    snprintf(r.lane, sizeof(r.lane), "%s", lane_name(l->conf.lane));
    memcpy(r.id, s->id, sizeof(r.id));
    snprintf(r.account, sizeof(r.account), "%s", l->conf.account);
    snprintf(r.origin, sizeof(r.origin), "%s", l->conf.origin);
    return fields_to_json(&row_fields, &r, json);
}

/* ---- registering ---- */

struct found {
    uint64_t at;
    struct call *call; /* NULL: ended, or another slice has it at a higher try */
};

struct direct_entry {
    struct direct_entry *next;
    struct row row;
    uint32_t partition, n;
    struct found found[];
};

void direct_entries_free(struct lane_direct *l)
{
    while (l->entries) {
        struct direct_entry *e = l->entries;
        l->entries = e->next;
        free(e);
    }
}

static int check_place(const struct lane_direct *l, const struct row *r, struct err *err)
{
    if (strcmp(r->origin, l->conf.origin) == 0) {
        return 0;
    }
    err_set(err, ERR_USAGE,
            "could not go on with slice '%s': its calls were sent to '%s', and lane '%s' "
            "goes to '%s' now",
            r->id, r->origin, lane_name(l->conf.lane), l->conf.origin);
    err_hint(err, "set the address back to '%s' until they are answered", r->origin);
    return -(int)ERR_USAGE;
}

static int on_entry(void *ctx, const struct journal_entry *e, struct err *err)
{
    struct lane_direct *l = ctx;
    enum lane lane;
    if (journal_lane(e->row, &lane) < 0 || lane != l->conf.lane) {
        return 0; /* another lane's; of an unknown one the batch lane says so */
    }
    struct direct_entry *d = calloc(1, sizeof(*d) + e->n * sizeof(struct found));
    if (!d) {
        return err_set(err, ERR_FAIL, "could not read the journal: out of memory");
    }
    d->next = l->entries; /* the latest first */
    l->entries = d;
    d->partition = e->partition;
    d->n = e->n;
    for (uint32_t i = 0; i < e->n; i++) {
        d->found[i].at = e->at[i];
    }
    int rc = fields_from_json(&row_fields, e->row, &d->row, err);
    if (rc >= 0 && (d->row.requests != e->n || d->n > DIRECT_SLICE_MAX)) {
        rc = err_set(err, ERR_VERSION,
                     "could not restore slice '%s': %u of %u members are there",
                     d->row.id, e->n, d->row.requests);
    }
    return rc < 0 ? rc : check_place(l, &d->row, err);
}

static int register_call(struct lane_direct *l, const struct row *row, struct found *f,
                         struct err *err)
{
    const struct released_from from = {.feed = l->conf.feed,
                                       .cursor = l->cursor,
                                       .calls = l->conf.calls,
                                       .cancels = l->conf.cancels};
    if (call_has_job(l->conf.calls, f->at)) {
        return 0; /* tries only grow, so a later slice is at a higher one */
    }
    int rc = released_call(&from, f->at, &f->call, err);
    if (f->call) {
        f->call->state = CALL_DIRECT;
        f->call->try_n = (uint16_t)MIN_OF(row->try_n, (uint32_t)UINT16_MAX - 1);
    }
    return rc;
}

static int by_try(const void *a, const void *b)
{
    const struct direct_entry *x = *(struct direct_entry *const *)a;
    const struct direct_entry *y = *(struct direct_entry *const *)b;
    return x->row.try_n < y->row.try_n ? 1 : x->row.try_n > y->row.try_n ? -1 : 0;
}

/* The highest try first. */
static int sort_entries(struct lane_direct *l)
{
    size_t n = 0;
    for (const struct direct_entry *e = l->entries; e; e = e->next) {
        n++;
    }
    struct direct_entry **all = calloc(n + 1, sizeof(*all));
    if (!all) {
        return -1;
    }
    n = 0;
    for (struct direct_entry *e = l->entries; e; e = e->next) {
        all[n++] = e;
    }
    qsort(all, n, sizeof(struct direct_entry *), by_try);
    for (size_t i = 0; i < n; i++) {
        all[i]->next = all[i + 1];
    }
    l->entries = all[0];
    free(all);
    return 0;
}

int lane_direct_recover(struct lane_direct *l, struct err *err)
{
    int rc = journal_read_owned(l->conf.queue, on_entry, l, err);
    if (rc >= 0 && sort_entries(l) < 0) {
        rc = err_set(err, ERR_FAIL, "could not read the journal: out of memory");
    }
    uint32_t calls = 0;
    for (struct direct_entry *e = l->entries; e && rc >= 0; e = e->next) {
        for (uint32_t i = 0; i < e->n && rc >= 0; i++) {
            rc = register_call(l, &e->row, &e->found[i], err);
            calls += e->found[i].call != NULL;
        }
    }
    if (rc >= 0 && calls > 0) {
        direct_event(l, "%u calls were under way when the last command ended: in doubt",
                     calls);
    }
    l->failed = rc < 0;
    return rc < 0 ? rc : 0;
}

/* ---- booking ---- */

static const char *account_of(const struct lane_direct *l, const struct direct_entry *e)
{
    return strcmp(e->row.account, l->conf.account) == 0 ? NULL : e->row.account;
}

/* Calls with a try left: booked, and journaled at the next one. The rows of e go with them
 * unless a call stays that is at its last try. */
static int book(struct lane_direct *l, struct direct_entry *e, bool last)
{
    struct queue_tx *tx;
    struct err err = {0};
    struct direct_slice *s = direct_slice_new(l, e->partition, e->row.try_n + 1);
    if (!s || direct_begin(l, &tx) < 0) {
        direct_slice_free(s);
        return -1;
    }
    int rc = 0;
    for (uint32_t i = 0; i < e->n && rc >= 0; i++) {
        struct call *c = e->found[i].call;
        if (c && c->try_n < c->tries) {
            rc = settle_put_doubt(l->conf.settle, tx, c, DOUBT_WHY, account_of(l, e));
            c->try_n++;
            direct_slice_add(l, s, c, i % l->conf.servers_n, 0);
            e->found[i].call = NULL;
        }
    }
    if (rc >= 0 && !last &&
        journal_delete_entry(tx, e->partition, e->row.id, e->n, &err) < 0) {
        direct_fail(l, &err);
        rc = -1;
    }
    if (rc < 0 || s->n == 0) {
        direct_slice_free(s);
        s = NULL;
    }
    if (rc < 0 || (!s && last)) {
        queue_tx_drop(tx);
        l->failed = l->failed || rc < 0;
        return rc;
    }
    FAILPOINT("direct.recover");
    direct_write(l, s, tx);
    return 0;
}

/* Calls at their last try become a slice of their own, under the rows that are there, and end. */
static int end_last(struct lane_direct *l, struct direct_entry *e)
{
    const struct origin o = {.account = l->conf.account};
    struct direct_slice *s = direct_slice_new(l, e->partition, e->row.try_n);
    if (!s) {
        return -1;
    }
    memcpy(s->id, e->row.id, sizeof(s->id));
    for (uint32_t i = 0; i < e->n; i++) {
        if (e->found[i].call) {
            direct_slice_put(s, e->found[i].call)->state = DIRECT_SETTLING;
        }
    }
    s->next = l->slices;
    if (s->next) {
        s->next->prev = s;
    }
    l->slices = s;
    for (uint32_t i = 0; i < s->n; i++) {
        if (settle_in_doubt(l->conf.settle, s->calls[i].call, DOUBT_WHY, &o) < 0) {
            l->failed = true;
            return -1;
        }
    }
    return 0;
}

void direct_go_on(struct lane_direct *l)
{
    while (l->entries && !l->failed && settle_room(l->conf.settle)) {
        struct direct_entry *e = l->entries;
        bool last = false;
        for (uint32_t i = 0; i < e->n; i++) {
            const struct call *c = e->found[i].call;
            last = last || (c && c->try_n >= c->tries);
        }
        if (book(l, e, last) < 0 || (last && end_last(l, e) < 0)) {
            return;
        }
        l->entries = e->next;
        free(e);
    }
}
