/* The canonical form of a request and its prefix chain, by the tables of its path. */
#include "core/prompt.h"

#include "core/jtext.h"
#include "core/prompt_rules.h"
#include "core/prompt_writer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define POWER_MAX      400          /* no field of any provider takes 1e400 */
#define SHOWN_MAX      ((size_t)40) /* bytes of the input in a message */
#define MEMBERS_FIRST  64
#define MEMBERS_SIMPLE 8 /* so few are sorted by insertion */

static enum place place_of(const struct prompt_rules *rules, enum place in,
                           struct span raw_name)
{
    if (in == PLACE_SCHEMA || in == PLACE_OTHER) {
        return in;
    }
    if (in == PLACE_BODY) {
        const struct prompt_field *f = rules_field(rules, raw_name);
        return f ? f->place : PLACE_OTHER;
    }
    for (size_t i = 0; i < rules->places_n; i++) {
        const struct prompt_place *row = &rules->places[i];
        if (row->in == in && jtext_is_string(raw_name, row->name)) {
            return row->to;
        }
    }
    return PLACE_OTHER;
}

/* ---- the walk ---- */

/* Name and value of a member, as places in the body. */
struct member {
    uint32_t name_at, name_n, value_at, value_n;
};

struct walk {
    const struct prompt_rules *rules;
    struct writer w;
    const char *base; /* of the body: what members count from */
    struct member *members;
    size_t members_n, members_cap; /* of all objects that are open, the outermost first */
    struct hash *whole, *chain;
    struct prompt *p;
    uint64_t prefix_bytes; /* prompt text in the chain so far */
    uint64_t passed;       /* messages */
    struct span field;     /* the request field we are in, for messages */
    struct err *err;
};

static void walk_fini(struct walk *k)
{
    free(k->members);
    hash_drop(k->whole);
    hash_drop(k->chain);
}

static struct span name_of(const struct walk *k, const struct member *m)
{
    return span_of(k->base + m->name_at, m->name_n);
}

static struct span value_of(const struct walk *k, const struct member *m)
{
    return span_of(k->base + m->value_at, m->value_n);
}

static int walk_value(struct walk *k, struct span value, enum place place);

/* The decimal value, exactly: digits, e, power of ten. */
static int walk_number(struct walk *k, struct span value)
{
    struct jtext_number number;
    char tail[32];
    int64_t digits = 0;
    jtext_number(value, &number);
    if (number.digits.n == 0) {
        writer_put(&k->w, "0", 1);
        return 0;
    }
    if (number.point > POWER_MAX || number.point < -POWER_MAX) {
        err_set(k->err, ERR_INPUT, "body.%.*s holds a number no provider can use: %.*s%s",
                (int)MIN_OF(k->field.n, SHOWN_MAX), k->field.p,
                (int)MIN_OF(value.n, SHOWN_MAX), value.p,
                value.n > SHOWN_MAX ? "..." : "");
        err_hint(k->err, "numbers lie between 1e-%d and 1e%d", POWER_MAX, POWER_MAX);
        return -ERR_INPUT;
    }
    if (number.negative) {
        writer_put(&k->w, "-", 1);
    }
    for (size_t i = 0; i < number.digits.n; i++) {
        if (number.digits.p[i] != '.') {
            writer_put(&k->w, number.digits.p + i, 1);
            digits++;
        }
    }
    int n = snprintf(tail, sizeof(tail), "e%" PRId64, number.point - digits);
    writer_put(&k->w, tail, (size_t)n);
    return 0;
}

/* The chain as it is now becomes a link. */
static void close_link(struct walk *k)
{
    assert(k->p->chain_len < PROMPT_CHAIN_MAX);
    k->p->chain[k->p->chain_len++] = (struct prompt_link){
        .hash = hash_u64(hash_peek(k->chain)),
        .bytes = (uint32_t)MIN_OF(k->prefix_bytes, (uint64_t)UINT32_MAX),
    };
}

/* A message that others follow. */
static bool is_linked(const struct walk *k, enum place place)
{
    return place == PLACE_MESSAGES && k->passed + 1 < k->p->messages &&
           k->p->chain_len < PROMPT_CHAIN_MAX;
}

static int walk_array(struct walk *k, struct span value, enum place place)
{
    struct span element;
    bool first = true;
    writer_put(&k->w, "[", 1);
    for (size_t at = 0; jtext_next(value, &at, NULL, &element); first = false) {
        bool linked = is_linked(k, place);
        if (!first) {
            writer_put(&k->w, ",", 1);
        }
        if (linked) {
            writer_aim(&k->w, k->whole, k->chain);
        }
        int rc = walk_value(k, element, place);
        if (rc < 0) {
            return rc;
        }
        if (linked) {
            k->prefix_bytes += writer_aim(&k->w, k->whole, NULL);
            k->passed++;
            close_link(k);
        }
    }
    writer_put(&k->w, "]", 1);
    return 0;
}

static int member_push(struct walk *k, struct span name, struct span value)
{
    if (k->members_n == k->members_cap) {
        size_t cap = k->members_cap ? 2 * k->members_cap : MEMBERS_FIRST;
        struct member *more = realloc(k->members, cap * sizeof(*more));
        if (!more) {
            return err_set(k->err, ERR_FAIL, "could not read the body: out of memory");
        }
        k->members = more;
        k->members_cap = cap;
    }
    k->members[k->members_n++] = (struct member){
        .name_at = (uint32_t)(name.p - k->base),
        .name_n = (uint32_t)name.n,
        .value_at = (uint32_t)(value.p - k->base),
        .value_n = (uint32_t)value.n,
    };
    return 0;
}

static int member_order(const void *a, const void *b, void *walk)
{
    return jtext_cmp(name_of(walk, a), name_of(walk, b));
}

static void members_sort(struct walk *k, struct member *m, size_t n)
{
    if (n > MEMBERS_SIMPLE) {
        qsort_r(m, n, sizeof(*m), member_order, k);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct member moving = m[i];
        size_t j = i;
        for (; j > 0 && member_order(&m[j - 1], &moving, k) > 0; j--) {
            m[j] = m[j - 1];
        }
        m[j] = moving;
    }
}

static bool is_dropped(const struct walk *k, enum place place, struct span value)
{
    return k->w.level >= PROMPT_L1 &&
           (place == PLACE_NO_MARK || (place == PLACE_FALSE && !jtext_true(value)));
}

/* Appends the members of an object to the list. */
static int collect(struct walk *k, struct span object)
{
    size_t at = 0;
    struct span name, value;
    int rc = 0;
    while (rc == 0 && jtext_next(object, &at, &name, &value)) {
        rc = member_push(k, name, value);
    }
    return rc;
}

/* Takes those out that cannot change the answer. */
static void drop_members(struct walk *k, size_t from, enum place place)
{
    size_t kept = from;
    for (size_t i = from; i < k->members_n; i++) {
        const struct member *m = &k->members[i];
        if (!is_dropped(k, place_of(k->rules, place, name_of(k, m)), value_of(k, m))) {
            k->members[kept++] = *m;
        }
    }
    k->members_n = kept;
}

static int walk_member(struct walk *k, const struct member *m, enum place place)
{
    struct span name = name_of(k, m);
    if (place == PLACE_BODY) {
        k->field = jtext_inside(name);
    }
    writer_string(&k->w, name, true);
    writer_put(&k->w, ":", 1);
    return walk_value(k, value_of(k, m), place_of(k->rules, place, name));
}

/* Writes the object whose members are the last of the list, and takes them off it. */
static int walk_members(struct walk *k, size_t from, enum place place)
{
    int rc = 0;
    drop_members(k, from, place);
    size_t end = k->members_n;
    if (place != PLACE_SCHEMA && end > from) {
        members_sort(k, k->members + from, end - from);
    }
    writer_put(&k->w, "{", 1);
    for (size_t i = from; rc == 0 && i < end; i++) {
        struct member m = k->members[i]; /* the list may move while we are inside */
        if (i > from) {
            writer_put(&k->w, ",", 1);
        }
        rc = walk_member(k, &m, place);
    }
    writer_put(&k->w, "}", 1);
    k->members_n = from;
    return rc;
}

static int walk_object(struct walk *k, struct span value, enum place place)
{
    size_t from = k->members_n;
    int rc = collect(k, value);
    return rc < 0 ? rc : walk_members(k, from, place);
}

static int walk_value(struct walk *k, struct span value, enum place place)
{
    switch (jtext_type(value)) {
    case JTEXT_OBJECT: return walk_object(k, value, place);
    case JTEXT_ARRAY: return walk_array(k, value, place);
    case JTEXT_STRING: writer_string(&k->w, value, false); return 0;
    case JTEXT_NUMBER: return walk_number(k, value);
    case JTEXT_BOOL:
    case JTEXT_NULL: writer_put(&k->w, value.p, value.n); return 0;
    case JTEXT_NONE: break;
    }
    return -ERR_INPUT;
}

/* ---- a whole request ---- */

static const struct member *find_member(const struct walk *k, const char *name)
{
    for (size_t i = 0; i < k->members_n; i++) {
        if (jtext_is_string(name_of(k, &k->members[i]), name)) {
            return &k->members[i];
        }
    }
    return NULL;
}

/* One field that link 0 is made of. */
static int walk_setting(struct walk *k, const struct prompt_field *f, struct span value)
{
    k->field = span_str(f->name);
    writer_aim(&k->w, k->chain, NULL);
    writer_put(&k->w, f->name, strlen(f->name) + 1);
    writer_aim(&k->w, k->chain, NULL);
    int rc = walk_value(k, value, f->place);
    if (rc < 0) {
        return rc;
    }
    uint64_t bytes = writer_aim(&k->w, NULL, NULL);
    k->prefix_bytes += f->rules & RULE_TEXT ? bytes : 0;
    k->passed += (f->rules & RULE_FIRST) && jtext_type(value) != JTEXT_NULL;
    return 0;
}

/* The body's members are in the list: those that link 0 is made of go into the chain. */
static int walk_settings(struct walk *k)
{
    for (size_t i = 0; i < k->rules->fields_n; i++) {
        const struct prompt_field *f = &k->rules->fields[i];
        const struct member *m = f->rules & RULE_SPLITS ? find_member(k, f->name) : NULL;
        int rc = m ? walk_setting(k, f, value_of(k, m)) : 0;
        if (rc < 0) {
            return rc;
        }
    }
    if (k->passed > 0 || k->p->messages == 1 || k->p->inputs > 0) {
        close_link(k);
    }
    return 0;
}

static int walk_facts(const struct walk *k)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < k->members_n; i++) {
        const struct member *m = &k->members[i];
        const struct prompt_field *f = rules_field(k->rules, name_of(k, m));
        if (!f) {
            continue;
        }
        seen |= UINT64_C(1) << (f - k->rules->fields);
        int rc = f->read ? f->read(k->p, f->name, value_of(k, m), k->err) : 0;
        if (rc < 0) {
            return rc;
        }
    }
    return facts_complete(k->rules, seen, k->p, k->err);
}

int prompt_read(enum prompt_path path, struct span body, enum prompt_level level,
                struct prompt *ret, struct err *err)
{
    struct prompt p;
    _cleanup_(walk_fini) struct walk k = {
        .rules = rules_of(path),
        .w.level = level,
        .base = body.p,
        .whole = hash_open(),
        .chain = hash_open(),
        .p = &p,
        .err = err,
    };
    if (jtext_type(body) != JTEXT_OBJECT || body.n > JTEXT_BYTES_MAX) {
        err_set(err, ERR_INPUT, "body must be a JSON object");
        err_hint(err, "write \"body\": {\"model\": ..., ...}");
        return -ERR_INPUT;
    }
    facts_init(&p, body.n);
    int rc = collect(&k, body);
    rc = rc < 0 ? rc : walk_facts(&k);
    rc = rc < 0 ? rc : walk_settings(&k);
    writer_aim(&k.w, k.whole, NULL);
    rc = rc < 0 ? rc : walk_members(&k, 0, PLACE_BODY);
    if (rc < 0) {
        return rc;
    }
    writer_aim(&k.w, NULL, NULL);
    p.canonical = hash_end(TAKE_PTR(k.whole));
    *ret = p;
    return 0;
}

/* ---- what follows from it ---- */

struct digest prompt_key(const char *scope, const char *origin, const char *path,
                         enum prompt_level level, const struct prompt *p)
{
    const char *const parts[] = {
        scope, origin, path, PROMPT_NP, level == PROMPT_L0 ? "L0" : "L1",
    };
    struct hash *h = hash_open();
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        hash_add(h, parts[i], strlen(parts[i]) + 1); /* the NUL keeps them apart */
    }
    hash_add(h, p->canonical.b, sizeof(p->canonical.b));
    return hash_end(h);
}

uint64_t prompt_tokens_bound(const struct prompt *p)
{
    const uint64_t per_message = 8,
                   per_request = 64; /* roles, separators, the reply's start */
    return p->text_only ? p->body_bytes + p->messages * per_message + per_request
                        : UINT64_MAX;
}
