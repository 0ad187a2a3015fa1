#include "tests/sim/delay.h"

#include "tests/sim/clock.h"
#include "tests/sim/text.h"

#include <pthread.h>
#include <stdlib.h>

struct waiting {
    int64_t at_us;
    void *item;
};

struct delay {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    delay_due *due;
    struct waiting *heap; /* the earliest at 0; bounded by the server's connections */
    size_t n;
    size_t cap;
    bool is_closing;
    bool was_joined;
};

static void swap(struct waiting *a, struct waiting *b)
{
    struct waiting other = *a;
    *a = *b;
    *b = other;
}

static void sift_up(struct waiting *heap, size_t i)
{
    while (i && heap[i].at_us < heap[(i - 1) / 2].at_us) {
        swap(&heap[i], &heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

static void sift_down(struct waiting *heap, size_t n)
{
    size_t i = 0;
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++) {
            least = heap[child].at_us < heap[least].at_us ? child : least;
        }
        if (least == i) {
            return;
        }
        swap(&heap[i], &heap[least]);
        i = least;
    }
}

/* The next item when it is due, or NULL. */
static void *take(struct delay *d)
{
    if (!d->n || (!d->is_closing && d->heap[0].at_us > clock_real_us())) {
        return NULL;
    }
    void *item = d->heap[0].item;
    d->heap[0] = d->heap[--d->n];
    sift_down(d->heap, d->n);
    return item;
}

static void sleep_until_next(struct delay *d)
{
    int64_t us = d->n ? d->heap[0].at_us - clock_real_us() : US_PER_S;
    struct timespec until = clock_deadline(us > 0 ? us : 0);
    pthread_cond_timedwait(&d->changed, &d->lock, &until);
}

static void *delay_run(void *arg)
{
    struct delay *d = arg;
    pthread_mutex_lock(&d->lock);
    while (!d->is_closing || d->n) {
        void *item = take(d);
        if (!item) {
            sleep_until_next(d);
            continue;
        }
        pthread_mutex_unlock(&d->lock);
        d->due(item);
        pthread_mutex_lock(&d->lock);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

struct delay *delay_create(delay_due *due)
{
    struct delay *d = must_calloc(1, sizeof *d);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&d->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&d->lock, NULL);
    d->due = due;
    if (pthread_create(&d->thread, NULL, delay_run, d) != 0) {
        free(d);
        return NULL;
    }
    return d;
}

bool delay_add(struct delay *d, int64_t us, void *item)
{
    pthread_mutex_lock(&d->lock);
    bool open = !d->is_closing;
    if (open) {
        if (d->n == d->cap) {
            d->cap = d->cap ? d->cap * 2 : 64;
            d->heap = must_realloc(d->heap, d->cap, sizeof *d->heap);
        }
        d->heap[d->n] = (struct waiting){clock_real_us() + us, item};
        sift_up(d->heap, d->n++);
        pthread_cond_signal(&d->changed);
    }
    pthread_mutex_unlock(&d->lock);
    return open;
}

void delay_close(struct delay *d)
{
    pthread_mutex_lock(&d->lock);
    d->is_closing = true;
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->lock);
    if (!d->was_joined) {
        pthread_join(d->thread, NULL);
        d->was_joined = true;
    }
}

struct delay *delay_destroy(struct delay *d)
{
    if (d) {
        delay_close(d);
        pthread_cond_destroy(&d->changed);
        pthread_mutex_destroy(&d->lock);
        free(d->heap);
        free(d);
    }
    return NULL;
}
