#include "tests/sim/faults.h"

#include "tests/sim/fault_rule.h"
#include "tests/sim/rng.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RULES_MAX = 1000 };

struct faults {
    pthread_mutex_t lock;
    struct fault_rule *rules;
    size_t n;
    unsigned
        aimed_at; /* a bit per operation that some rule names: the others cost nothing */
};

struct faults *faults_destroy(struct faults *f)
{
    if (f) {
        pthread_mutex_destroy(&f->lock);
        free(f->rules);
        free(f);
    }
    return NULL;
}

static int add_rule(struct faults *f, const char *line, size_t n, uint64_t seed,
                    struct text *ret_why)
{
    if (f->n == RULES_MAX) {
        text_fmt(ret_why, "more than %d rules", RULES_MAX);
        return -1;
    }
    struct fault_rule r;
    if (fault_rule_read(&r, line, n, ret_why) < 0) {
        return -1;
    }
    r.rng = mix64(seed + f->n);
    f->rules = must_realloc(f->rules, f->n + 1, sizeof *f->rules);
    f->rules[f->n++] = r;
    f->aimed_at |= 1u << r.on;
    return 0;
}

static int read_lines(struct faults *f, FILE *in, const char *path, uint64_t seed,
                      struct text *ret_why)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int rc = 0;
    for (int number = 1; rc == 0 && (n = getline(&line, &cap, in)) >= 0; number++) {
        size_t blank = strspn(line, " \t\r\n");
        struct text why = {0};
        if (blank < (size_t)n && line[blank] != '#') {
            rc = add_rule(f, line, (size_t)n, seed, &why);
        }
        if (rc < 0) {
            text_fmt(ret_why, "%s:%d: %s", path, number, why.data);
        }
        text_done(&why);
    }
    free(line);
    return rc;
}

struct faults *faults_read(const char *path, uint64_t seed, struct text *ret_why)
{
    struct faults *f = must_calloc(1, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    if (!path) {
        return f;
    }
    FILE *in = fopen(path, "re");
    if (!in) {
        text_fmt(ret_why, "could not read '%s': %s", path, strerrordesc_np(errno));
        return faults_destroy(f);
    }
    int rc = read_lines(f, in, path, seed, ret_why);
    (void)fclose(in);
    return rc < 0 ? faults_destroy(f) : f;
}

static bool rule_fires(struct fault_rule *r)
{
    if (r->seen < r->nth || (r->count && r->fired >= r->count) ||
        !rng_chance(&r->rng, r->p)) {
        return false;
    }
    r->fired++;
    return true;
}

struct fault faults_match(struct faults *f, enum op on)
{
    struct fault hit = {.what = DO_NOTHING};
    if (on >= OP_COUNT || !(f->aimed_at & 1u << on)) {
        return hit;
    }
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->n; i++) {
        struct fault_rule *r = &f->rules[i];
        if (r->on != on) {
            continue;
        }
        r->seen++;
        if (hit.what == DO_NOTHING && rule_fires(r)) {
            hit = r->fault;
        }
    }
    pthread_mutex_unlock(&f->lock);
    return hit;
}

void faults_write(struct faults *f, struct text *out)
{
    pthread_mutex_lock(&f->lock);
    text_char(out, '[');
    for (size_t i = 0; i < f->n; i++) {
        const struct fault_rule *r = &f->rules[i];
        text_fmt(out, "%s{\"on\":\"%s\",\"do\":\"%s\",\"seen\":%lld,\"fired\":%lld}",
                 i ? "," : "", op_name(r->on), fault_do_name(r->fault.what),
                 (long long)r->seen, (long long)r->fired);
    }
    text_char(out, ']');
    pthread_mutex_unlock(&f->lock);
}
