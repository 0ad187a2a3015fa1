#include "tests/sim/batch_list.h"

#include "tests/sim/clock.h"
#include "tests/sim/rng.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct batch_list {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t seed;
    struct batch **all;
    size_t n;
    size_t cap;
    size_t first_live; /* all before it are final */
    bool was_woken;
    bool is_closing;
};

struct batch_list *batch_list_create(uint64_t seed)
{
    struct batch_list *l = must_calloc(1, sizeof *l);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&l->lock, NULL);
    l->seed = mix64(seed ^ 0xba7c4);
    return l;
}

struct batch_list *batch_list_destroy(struct batch_list *l)
{
    if (!l) {
        return NULL;
    }
    for (size_t i = 0; i < l->n; i++) {
        free(l->all[i]->metadata);
        free(l->all[i]);
    }
    free(l->all);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
    return NULL;
}

void batch_list_lock(struct batch_list *l)
{
    pthread_mutex_lock(&l->lock);
}

void batch_list_unlock(struct batch_list *l)
{
    pthread_mutex_unlock(&l->lock);
}

static void wake(struct batch_list *l)
{
    l->was_woken = true;
    pthread_cond_signal(&l->changed);
}

void batch_list_add(struct batch_list *l, struct batch *b, struct text *out)
{
    pthread_mutex_lock(&l->lock);
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->all = must_realloc(l->all, l->cap, sizeof(struct batch *));
    }
    snprintf(b->id, sizeof b->id, "batch_%016llx%08zx",
             (unsigned long long)rng_next(&l->seed), l->n);
    l->all[l->n++] = b;
    batch_write(b, out);
    wake(l);
    pthread_mutex_unlock(&l->lock);
}

static struct batch *find(struct batch_list *l, const char *project, const char *id)
{
    size_t n = strlen(id);
    unsigned long long number = n > 8 ? strtoull(id + n - 8, NULL, 16) : l->n;
    if (number >= l->n) {
        return NULL;
    }
    struct batch *b = l->all[number];
    return !strcmp(b->id, id) && !strcmp(b->project, project) ? b : NULL;
}

static int no_such_batch(struct problem *p, const char *id)
{
    return problem_set(p, 404, NULL, NULL, "No batch found with id '%.60s'.", id);
}

int batch_list_show(struct batch_list *l, const char *project, const char *id,
                    struct text *out, struct problem *p)
{
    pthread_mutex_lock(&l->lock);
    const struct batch *b = find(l, project, id);
    if (b) {
        batch_write(b, out);
    }
    pthread_mutex_unlock(&l->lock);
    return b ? 0 : no_such_batch(p, id);
}

static bool is_listed(const struct batch *b, const struct batch_page *page)
{
    return !strcmp(b->project, page->project) && b->hidden_until <= page->now &&
           b->at_us[BATCH_VALIDATING] / US_PER_S <= page->visible_since;
}

static void write_page(struct batch_list *l, const struct batch_page *page, size_t below,
                       struct text *out)
{
    const struct batch *first = NULL;
    const struct batch *last = NULL;
    int64_t n = 0;
    bool more = false;
    text_put(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = below; i-- > 0 && !more;) {
        const struct batch *b = l->all[i];
        if (!is_listed(b, page)) {
            continue;
        }
        more = n == page->limit;
        if (!more) {
            text_put(out, n++ ? "," : "");
            batch_write(b, out);
            first = first ? first : b;
            last = b;
        }
    }
    text_put(out, "],\"first_id\":");
    text_json_or_null(out, first ? first->id : NULL);
    text_put(out, ",\"last_id\":");
    text_json_or_null(out, last ? last->id : NULL);
    text_fmt(out, ",\"has_more\":%s}", more ? "true" : "false");
}

int batch_list_page(struct batch_list *l, const struct batch_page *page, struct text *out,
                    struct problem *p)
{
    int rc = 0;
    pthread_mutex_lock(&l->lock);
    size_t below = l->n;
    if (page->after) {
        const struct batch *b = find(l, page->project, page->after);
        rc = b ? 0 : no_such_batch(p, page->after);
        while (b && l->all[--below] != b) {
        }
    }
    if (rc == 0) {
        write_page(l, page, below, out);
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

int batch_list_cancel(struct batch_list *l, const char *project, const char *id,
                      int64_t now_us, struct text *out, struct problem *p)
{
    int rc = 0;
    pthread_mutex_lock(&l->lock);
    struct batch *b = find(l, project, id);
    if (!b) {
        rc = no_such_batch(p, id);
    } else if (batch_move(b, BATCH_CANCELLING, now_us) || b->state == BATCH_CANCELLING) {
        batch_write(b, out);
        wake(l);
    } else {
        rc = problem_set(p, 409, NULL, NULL, "Cannot cancel a batch with status '%s'.",
                         batch_state_name(b->state));
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

int64_t batch_list_enqueued(struct batch_list *l, const char *project,
                            const struct price_row *model)
{
    int64_t sum = 0;
    for (size_t i = l->first_live; i < l->n; i++) {
        const struct batch *b = l->all[i];
        if (!batch_is_final(b->state) && b->model == model &&
            !strcmp(b->project, project)) {
            sum += b->enqueued_tokens;
        }
    }
    return sum;
}

size_t batch_list_live(struct batch_list *l, struct batch **ret_live, size_t max)
{
    size_t n = 0;
    pthread_mutex_lock(&l->lock);
    while (l->first_live < l->n && batch_is_final(l->all[l->first_live]->state)) {
        l->first_live++;
    }
    for (size_t i = l->first_live; i < l->n && n < max; i++) {
        if (!batch_is_final(l->all[i]->state)) {
            ret_live[n++] = l->all[i];
        }
    }
    pthread_mutex_unlock(&l->lock);
    return n;
}

bool batch_list_wait(struct batch_list *l, int64_t us)
{
    struct timespec until = clock_deadline(us);
    pthread_mutex_lock(&l->lock);
    int rc = 0;
    while (!l->was_woken && !l->is_closing && us > 0 && rc != ETIMEDOUT) {
        rc = pthread_cond_timedwait(&l->changed, &l->lock, &until);
    }
    l->was_woken = false;
    bool open = !l->is_closing;
    pthread_mutex_unlock(&l->lock);
    return open;
}

void batch_list_close(struct batch_list *l)
{
    pthread_mutex_lock(&l->lock);
    l->is_closing = true;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

void batch_list_write_all(struct batch_list *l, struct text *out)
{
    pthread_mutex_lock(&l->lock);
    text_put(out, "{\"data\":[");
    for (size_t i = 0; i < l->n; i++) {
        text_fmt(out, "%s{\"project\":\"%s\",\"batch\":", i ? "," : "",
                 l->all[i]->project);
        batch_write(l->all[i], out);
        text_char(out, '}');
    }
    text_put(out, "]}");
    pthread_mutex_unlock(&l->lock);
}

void batch_list_write_states(struct batch_list *l, struct text *out)
{
    int64_t counts[BATCH_STATES] = {0};
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n; i++) {
        counts[l->all[i]->state]++;
    }
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < BATCH_STATES; i++) {
        text_fmt(out, "%c\"%s\":%lld", i ? ',' : '{',
                 batch_state_name((enum batch_state)i), (long long)counts[i]);
    }
    text_char(out, '}');
}
