#include "tests/sim/rate_limit.h"

#include "tests/sim/auth.h"
#include "tests/sim/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PROJECTS_MAX = 256, MINUTE_S = 60 };

struct bucket {
    double level; /* what is left */
    int64_t limit;
};

struct account {
    char project[PROJECT_MAX];
    int64_t seen_us;
    struct bucket requests;
    struct bucket tokens;
};

struct rate_limits {
    pthread_mutex_t lock;
    int64_t requests_per_minute;
    int64_t tokens_per_minute;
    struct account accounts[PROJECTS_MAX]; /* projects past the last share it */
    int n;
};

struct rate_limits *rate_limits_create(int64_t requests_per_minute,
                                       int64_t tokens_per_minute)
{
    struct rate_limits *r = must_calloc(1, sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    r->requests_per_minute = requests_per_minute;
    r->tokens_per_minute = tokens_per_minute;
    return r;
}

struct rate_limits *rate_limits_destroy(struct rate_limits *r)
{
    if (r) {
        pthread_mutex_destroy(&r->lock);
        free(r);
    }
    return NULL;
}

static struct account *find_account(struct rate_limits *r, const char *project,
                                    int64_t now)
{
    for (int i = 0; i < r->n; i++) {
        if (!strcmp(r->accounts[i].project, project)) {
            return &r->accounts[i];
        }
    }
    if (r->n == PROJECTS_MAX) {
        return &r->accounts[PROJECTS_MAX - 1];
    }
    struct account *a = &r->accounts[r->n++];
    copy_string(a->project, sizeof a->project, project);
    a->requests = (struct bucket){(double)r->requests_per_minute, r->requests_per_minute};
    a->tokens = (struct bucket){(double)r->tokens_per_minute, r->tokens_per_minute};
    a->seen_us = now;
    return a;
}

static void refill(struct bucket *b, int64_t passed_us)
{
    b->level += (double)b->limit * (double)passed_us / (MINUTE_S * (double)US_PER_S);
    if (b->level > (double)b->limit) {
        b->level = (double)b->limit;
    }
}

static int64_t reset_ms(const struct bucket *b)
{
    double missing = (double)b->limit - b->level;
    return (int64_t)(missing / (double)b->limit * MINUTE_S * 1000);
}

bool rate_limits_take(struct rate_limits *r, const char *project, int64_t tokens,
                      struct rate_view *ret_view)
{
    int64_t now = clock_real_us();
    pthread_mutex_lock(&r->lock);
    struct account *a = find_account(r, project, now);
    refill(&a->requests, now - a->seen_us);
    refill(&a->tokens, now - a->seen_us);
    a->seen_us = now;
    bool fits = a->requests.level >= 1 && a->tokens.level >= (double)tokens;
    if (fits) {
        a->requests.level -= 1;
        a->tokens.level -= (double)tokens;
    }
    *ret_view = (struct rate_view){
        .limit_requests = a->requests.limit,
        .left_requests = (int64_t)a->requests.level,
        .reset_requests_ms = reset_ms(&a->requests),
        .limit_tokens = a->tokens.limit,
        .left_tokens = (int64_t)a->tokens.level,
        .reset_tokens_ms = reset_ms(&a->tokens),
    };
    pthread_mutex_unlock(&r->lock);
    return fits;
}
