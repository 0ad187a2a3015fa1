#include "worker/plan.h"

#include "core/loop.h"
#include <stdlib.h>
#include <string.h>

struct row { /* of one stream */
    struct call **calls;
    uint32_t n, cap;
    uint64_t requests, bytes, tokens;
    int64_t first_ms; /* loop time of the first call gathered */
};

struct plan {
    struct plan_conf conf;
    struct row *rows; /* by stream number */
    uint32_t rows_n;
    uint32_t gathered; /* calls in all rows */
    struct loop_timer *timer;
};

/* ---- the decisions ---- */

static int compare(const void *a, const void *b)
{
    const struct call *x = *(struct call *const *)a;
    const struct call *y = *(struct call *const *)b;
    unsigned n = MIN_OF(x->chain_len, y->chain_len);
    for (unsigned i = 0; i < n; i++) {
        if (x->chain[i] != y->chain[i]) {
            return x->chain[i] < y->chain[i] ? -1 : 1;
        }
    }
    if (x->chain_len != y->chain_len) {
        return x->chain_len < y->chain_len ? -1 : 1;
    }
    return x->jobs->at < y->jobs->at ? -1 : x->jobs->at > y->jobs->at;
}

void plan_sort(struct call **calls, uint32_t n)
{
    if (n > 1) {
        qsort(calls, n, sizeof(struct call *), compare);
    }
}

static uint64_t line_bytes(const struct call *c)
{
    return (uint64_t)c->body_bytes + PLAN_LINE_OVERHEAD;
}

/* A bound nobody could compute is all there is: such a call shares its batch with no other. */
static uint64_t add_tokens(uint64_t sum, uint64_t more)
{
    return sum + more < sum ? UINT64_MAX : sum + more;
}

static bool within(const struct plan_limits *l, uint64_t requests, uint64_t bytes,
                   uint64_t tokens)
{
    return requests <= l->requests && bytes <= l->bytes &&
           (!l->tokens || tokens <= l->tokens);
}

uint32_t plan_cut(struct call *const *calls, uint32_t n, const struct plan_limits *limits)
{
    uint64_t requests = 0, bytes = 0, tokens = 0;
    for (uint32_t i = 0; i < n; i++) {
        requests += calls[i]->requests;
        bytes += line_bytes(calls[i]);
        tokens = add_tokens(tokens, calls[i]->tokens_bound);
        if (i > 0 && !within(limits, requests, bytes, tokens)) {
            return i;
        }
    }
    return n;
}

/* ---- gathering ---- */

static struct row *row_of(struct plan *p, uint16_t stream)
{
    if (stream >= p->rows_n) {
        uint32_t n = stream + 1u;
        struct row *rows = realloc(p->rows, n * sizeof(*rows));
        if (!rows) {
            return NULL;
        }
        memset(rows + p->rows_n, 0, (n - p->rows_n) * sizeof(*rows));
        p->rows = rows;
        p->rows_n = n;
    }
    return &p->rows[stream];
}

static int row_append(struct row *r, struct call *c)
{
    if (r->n == r->cap) {
        uint32_t cap = r->cap ? r->cap * 2 : 256;
        struct call **calls = realloc(r->calls, cap * sizeof(struct call *));
        if (!calls) {
            return -1;
        }
        r->calls = calls;
        r->cap = cap;
    }
    c->index = r->n;
    r->calls[r->n++] = c;
    r->requests += c->requests;
    r->bytes += line_bytes(c);
    r->tokens = add_tokens(r->tokens, c->tokens_bound);
    return 0;
}

/* Gives back to its row what stays: nothing may have been added to it meanwhile, or much. */
static int row_return(struct plan *p, uint16_t stream, struct call **calls, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct row *r = row_of(p, stream);
        if (!r || row_append(r, calls[i]) < 0) {
            return -1;
        }
        p->gathered++;
    }
    return 0;
}

/* A piece that others may still join: within the limits and not full. */
static bool has_room(const struct plan_limits *l, struct call *const *calls, uint32_t n)
{
    uint64_t requests = 0;
    for (uint32_t i = 0; i < n; i++) {
        requests += calls[i]->requests;
    }
    return requests < l->requests &&
           (n > 1 || within(l, 1, line_bytes(calls[0]), calls[0]->tokens_bound));
}

/* Submits the pieces of a stream; with `keep_last` not the one that others may still join. The
 * row is emptied first: whoever is called back may plan again. */
static int seal(struct plan *p, uint16_t stream, bool keep_last, struct err *err)
{
    const struct plan_limits *l = &p->conf.limits;
    struct row row = p->rows[stream];
    uint32_t from = 0;
    int rc = 0;
    p->rows[stream] = (struct row){.first_ms = loop_now_ms(p->conf.loop)};
    p->gathered -= row.n;
    plan_sort(row.calls, row.n);
    while (from < row.n && rc >= 0) {
        uint32_t n = plan_cut(row.calls + from, row.n - from, l);
        if (keep_last && from + n == row.n && has_room(l, row.calls + from, n)) {
            break;
        }
        rc = p->conf.submit(p->conf.ctx, row.calls + from, n, err);
        from += n;
    }
    if (rc >= 0 && row_return(p, stream, row.calls + from, row.n - from) < 0) {
        rc = err_set(err, ERR_FAIL, "could not plan a call: out of memory");
    }
    free(row.calls);
    return rc < 0 ? rc : 0;
}

/* The timer stands at the row that has waited longest. */
static void arm(struct plan *p)
{
    int64_t first = INT64_MAX;
    for (uint32_t i = 0; i < p->rows_n; i++) {
        if (p->rows[i].n && p->rows[i].first_ms < first) {
            first = p->rows[i].first_ms;
        }
    }
    if (first == INT64_MAX) {
        loop_timer_stop(p->timer);
        return;
    }
    int64_t left = first + p->conf.linger_ms - loop_now_ms(p->conf.loop);
    loop_timer_start(p->timer, MAX_OF(left, (int64_t)0));
}

int plan_add(struct plan *p, struct call *c, struct err *err)
{
    struct row *r = row_of(p, c->stream);
    if (!r || row_append(r, c) < 0) {
        return err_set(err, ERR_FAIL, "could not plan a call: out of memory");
    }
    p->gathered++;
    int rc = 0;
    if (r->n == 1) {
        r->first_ms = loop_now_ms(p->conf.loop);
        arm(p);
    }
    const struct plan_limits *l = &p->conf.limits;
    if (r->requests >= l->requests || !within(l, r->requests, r->bytes, r->tokens)) {
        rc = seal(p, c->stream, true, err);
        arm(p);
    }
    return rc;
}

void plan_remove(struct plan *p, struct call *c)
{
    struct row *r = &p->rows[c->stream];
    struct call *last = r->calls[--r->n];
    r->calls[c->index] = last;
    last->index = c->index;
    p->gathered--;
    r->requests -= c->requests;
    r->bytes -= line_bytes(c);
    if (r->tokens < UINT64_MAX) {
        r->tokens -= c->tokens_bound;
        return;
    }
    r->tokens = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        r->tokens = add_tokens(r->tokens, r->calls[i]->tokens_bound);
    }
}

int plan_flush(struct plan *p, uint32_t partition, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < p->rows_n && rc >= 0; i++) {
        const struct row *r = &p->rows[i];
        if (r->n && place_partition(r->calls[0]->jobs->at) == partition) {
            rc = seal(p, (uint16_t)i, false, err);
        }
    }
    arm(p);
    return rc;
}

void plan_hurry(struct plan *p)
{
    int64_t latest = loop_now_ms(p->conf.loop) - p->conf.linger_ms + PLAN_HURRY_MS;
    for (uint32_t i = 0; i < p->rows_n; i++) {
        p->rows[i].first_ms = MIN_OF(p->rows[i].first_ms, latest);
    }
    arm(p);
}

static void on_linger(void *ctx)
{
    struct plan *p = ctx;
    struct err err = {0};
    int64_t before = loop_now_ms(p->conf.loop) - p->conf.linger_ms;
    for (uint32_t i = 0; i < p->rows_n; i++) {
        if (p->rows[i].n && p->rows[i].first_ms <= before &&
            seal(p, (uint16_t)i, false, &err) < 0) {
            p->conf.on_failed(p->conf.ctx, &err);
            return;
        }
    }
    arm(p);
}

/* ---- life ---- */

int plan_create(struct plan **ret, const struct plan_conf *conf, struct err *err)
{
    struct plan *p = calloc(1, sizeof(*p));
    if (!p || loop_timer_create(conf->loop, on_linger, p, &p->timer) < 0) {
        free(p);
        return err_set(err, ERR_FAIL, "could not create the plan: out of memory");
    }
    p->conf = *conf;
    *ret = p;
    return 0;
}

bool plan_empty(const struct plan *p)
{
    return p->gathered == 0;
}

struct plan *plan_destroy(struct plan *p)
{
    if (!p) {
        return NULL;
    }
    for (uint32_t i = 0; i < p->rows_n; i++) {
        free(p->rows[i].calls);
    }
    free(p->rows);
    loop_timer_destroy(p->timer);
    free(p);
    return NULL;
}
