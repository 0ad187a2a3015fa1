#include "tests/sim/invoice.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MODELS_MAX = 64, PRINTS_MIN = 1024, PRINTS_MAX = 1 << 24 };

struct bill {
    int64_t requests;
    int64_t pico;
    struct usage used;
};

struct print {
    uint64_t half[2]; /* both 0: free; the lowest bit of half[1] says bought again */
};

struct line {
    struct invoice_to to;
    int64_t pico;
};

struct invoice {
    pthread_mutex_t lock;
    struct bill models[MODELS_MAX];
    struct print *prints;
    size_t prints_cap; /* a power of two, at most half full */
    size_t prints_used;
    int64_t bought_again;
    struct line *lines;
    size_t lines_n, lines_cap;
};

struct invoice *invoice_create(void)
{
    struct invoice *v = must_calloc(1, sizeof *v);
    pthread_mutex_init(&v->lock, NULL);
    v->prints_cap = PRINTS_MIN;
    v->prints = must_calloc(v->prints_cap, sizeof *v->prints);
    return v;
}

struct invoice *invoice_destroy(struct invoice *v)
{
    if (v) {
        pthread_mutex_destroy(&v->lock);
        free(v->prints);
        free(v->lines);
        free(v);
    }
    return NULL;
}

static struct print *find_print(struct invoice *v, struct print wanted)
{
    size_t i = wanted.half[0] & (v->prints_cap - 1);
    for (;; i = (i + 1) & (v->prints_cap - 1)) {
        struct print *at = &v->prints[i];
        bool is_free = !at->half[0] && !at->half[1];
        bool is_same = at->half[0] == wanted.half[0] &&
                       (at->half[1] | 1) == (wanted.half[1] | 1);
        if (is_free || is_same) {
            return at;
        }
    }
}

static void grow_prints(struct invoice *v)
{
    struct print *old = v->prints;
    size_t old_cap = v->prints_cap;
    v->prints_cap *= 2;
    v->prints = must_calloc(v->prints_cap, sizeof *v->prints);
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i].half[0] || old[i].half[1]) {
            *find_print(v, old[i]) = old[i];
        }
    }
    free(old);
}

static void remember(struct invoice *v, const unsigned char body_print[16])
{
    struct print p;
    memcpy(p.half, body_print, sizeof p.half);
    p.half[0] |= 2; /* never the free pattern */
    p.half[1] &= ~(uint64_t)1;
    struct print *at = find_print(v, p);
    if (at->half[0]) {
        v->bought_again += !(at->half[1] & 1);
        at->half[1] |= 1;
        return;
    }
    if (v->prints_used >= PRINTS_MAX / 2) {
        return; /* eight million bodies: later ones are charged but not remembered */
    }
    *at = p;
    if (++v->prints_used * 2 > v->prints_cap) {
        grow_prints(v);
    }
}

static void add_up(struct bill *sum, const struct usage *u, int64_t pico,
                   int64_t requests)
{
    sum->requests += requests;
    sum->pico += pico;
    sum->used.prompt += u->prompt;
    sum->used.cached += u->cached;
    sum->used.written += u->written;
    sum->used.completion += u->completion;
    sum->used.reasoning += u->reasoning;
}

/* Batches are answered a few at a time: the line wanted is among the last. */
static struct line *line_of(struct invoice *v, const struct invoice_to *to)
{
    for (size_t i = v->lines_n; to->batch && i-- > 0;) {
        if (v->lines[i].to.batch && strcmp(v->lines[i].to.id, to->id) == 0) {
            return &v->lines[i];
        }
    }
    if (v->lines_n == v->lines_cap) {
        v->lines_cap = v->lines_cap ? 2 * v->lines_cap : 64;
        v->lines = must_realloc(v->lines, v->lines_cap, sizeof *v->lines);
    }
    v->lines[v->lines_n] = (struct line){.to = *to};
    return &v->lines[v->lines_n++];
}

void invoice_charge(struct invoice *v, const struct ask_facts *ask,
                    const struct usage *usage, bool half_price,
                    const struct invoice_to *to)
{
    int64_t pico = price_of(price_row(ask->row), usage, half_price);
    pthread_mutex_lock(&v->lock);
    add_up(&v->models[ask->row], usage, pico, 1);
    line_of(v, to)->pico += pico;
    remember(v, ask->body_print);
    pthread_mutex_unlock(&v->lock);
}

/* Dollars with all twelve decimals. */
static void write_usd(struct text *out, int64_t pico)
{
    int64_t one = 1000000000000;
    text_fmt(out, "\"%lld.%012lld\"", (long long)(pico / one), (long long)(pico % one));
}

static void write_bill(struct text *out, const struct bill *b)
{
    text_fmt(out, "\"total_pico\":%lld,\"total_usd\":", (long long)b->pico);
    write_usd(out, b->pico);
    text_fmt(out,
             ",\"requests\":%lld,\"tokens\":{\"input\":%lld,\"cached\":%lld,"
             "\"cache_write\":%lld,\"output\":%lld,\"reasoning\":%lld}",
             (long long)b->requests,
             (long long)(b->used.prompt - b->used.cached - b->used.written),
             (long long)b->used.cached, (long long)b->used.written,
             (long long)b->used.completion, (long long)b->used.reasoning);
}

void invoice_write(struct invoice *v, struct text *out)
{
    struct bill total = {0};
    pthread_mutex_lock(&v->lock);
    for (int i = 0; i < price_count(); i++) {
        add_up(&total, &v->models[i].used, v->models[i].pico, v->models[i].requests);
    }
    text_char(out, '{');
    write_bill(out, &total);
    text_fmt(out, ",\"requests_billed_twice\":%lld,\"by_model\":{",
             (long long)v->bought_again);
    const char *comma = "";
    for (int i = 0; i < price_count(); i++) {
        if (v->models[i].requests) {
            text_fmt(out, "%s\"%s\":{", comma, price_row(i)->id);
            write_bill(out, &v->models[i]);
            text_char(out, '}');
            comma = ",";
        }
    }
    text_put(out, "}}");
    pthread_mutex_unlock(&v->lock);
}

void invoice_write_csv(struct invoice *v, struct text *out)
{
    int64_t one = 1000000000000;
    text_put(out, "batch,request,amount_usd\n");
    pthread_mutex_lock(&v->lock);
    for (size_t i = 0; i < v->lines_n; i++) {
        const struct line *l = &v->lines[i];
        text_fmt(out, "%s,%s,%lld.%012lld\n", l->to.batch ? l->to.id : "",
                 l->to.batch ? "" : l->to.id, (long long)(l->pico / one),
                 (long long)(l->pico % one));
    }
    pthread_mutex_unlock(&v->lock);
}
