/* The canonical form of a request and its prefix chain. The facts are in prompt_facts.c. */
#include "core/prompt.h"

#include "core/jtext.h"
#include "core/prompt_facts.h"
#include "core/prompt_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define POWER_MAX      400          /* no field of any provider takes 1e400 */
#define SHOWN_MAX      ((size_t)40) /* bytes of the input in a message */
#define MEMBERS_FIRST  64
#define MEMBERS_SIMPLE 8 /* so few are sorted by insertion */

/* ---- where in a request we are, as far as it changes the canonical form ---- */

enum place {
    PLACE_OTHER,
    PLACE_BODY,
    PLACE_MESSAGES, /* the array, and each message */
    PLACE_CONTENT,  /* the array of parts, and each part */
    PLACE_TOOLS,    /* the array, and each tool */
    PLACE_FUNCTION, /* also the elements of the older `functions` */
    PLACE_FORMAT,
    PLACE_FORMAT_SCHEMA,
    PLACE_SCHEMA,  /* a JSON Schema: order is meaning, all the way down */
    PLACE_NO_MARK, /* at L1: cannot change the answer */
    PLACE_STREAM,  /* at L1: dropped when false */
};

static const struct {
    enum place in;
    const char *name;
    enum place to;
} places[] = {
    {PLACE_BODY, "messages", PLACE_MESSAGES},
    {PLACE_MESSAGES, "content", PLACE_CONTENT},
    {PLACE_BODY, "tools", PLACE_TOOLS},
    {PLACE_TOOLS, "function", PLACE_FUNCTION},
    {PLACE_BODY, "functions", PLACE_FUNCTION},
    {PLACE_FUNCTION, "parameters", PLACE_SCHEMA},
    {PLACE_BODY, "response_format", PLACE_FORMAT},
    {PLACE_FORMAT, "json_schema", PLACE_FORMAT_SCHEMA},
    {PLACE_FORMAT_SCHEMA, "schema", PLACE_SCHEMA},
    {PLACE_BODY, "stream", PLACE_STREAM},
    {PLACE_BODY, "metadata", PLACE_NO_MARK},
    {PLACE_BODY, "user", PLACE_NO_MARK},
    {PLACE_BODY, "safety_identifier", PLACE_NO_MARK},
    {PLACE_BODY, "store", PLACE_NO_MARK},
    {PLACE_BODY, "prompt_cache_key", PLACE_NO_MARK},
    {PLACE_BODY, "prompt_cache_options", PLACE_NO_MARK},
    {PLACE_BODY, "prompt_cache_retention", PLACE_NO_MARK},
    {PLACE_CONTENT, "prompt_cache_breakpoint", PLACE_NO_MARK},
};

/* What stands before the messages of a prompt, or keeps a provider from sharing it: link 0. */
static const struct {
    const char *name;
    enum place place;
    bool is_prompt; /* its text is part of the prompt's length */
} settings[] = {
    {"model", PLACE_OTHER, false},
    {"tools", PLACE_TOOLS, true},
    {"tool_choice", PLACE_OTHER, false},
    {"functions", PLACE_FUNCTION, true},
    {"function_call", PLACE_OTHER, false},
    {"response_format", PLACE_FORMAT, true},
    {"reasoning_effort", PLACE_OTHER, false},
    {"verbosity", PLACE_OTHER, false},
    {"service_tier", PLACE_OTHER, false},
    {"prompt_cache_key", PLACE_OTHER, false},
};

static enum place place_of(enum place in, struct span raw_name)
{
    if (in == PLACE_SCHEMA || in == PLACE_OTHER) {
        return in;
    }
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (places[i].in == in && jtext_is_string(raw_name, places[i].name)) {
            return places[i].to;
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
    struct writer w;
    const char *base; /* of the body: what members count from */
    struct member *members;
    size_t members_n, members_cap; /* of all objects that are open, the outermost first */
    struct hash *whole, *chain;
    struct prompt *p;
    uint64_t prefix_bytes; /* prompt text in the chain so far */
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
    k->p->chain[k->p->chain_len++] = (struct prompt_link){
        .hash = hash_u64(hash_peek(k->chain)),
        .bytes = (uint32_t)MIN_OF(k->prefix_bytes, (uint64_t)UINT32_MAX),
    };
}

static int walk_array(struct walk *k, struct span value, enum place place)
{
    struct span element;
    uint64_t index = 0;
    writer_put(&k->w, "[", 1);
    for (size_t at = 0; jtext_next(value, &at, NULL, &element); index++) {
        bool linked = place == PLACE_MESSAGES && index < PROMPT_CHAIN_MAX &&
                      index + 1 < k->p->messages;
        if (index) {
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
           (place == PLACE_NO_MARK || (place == PLACE_STREAM && !jtext_true(value)));
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
        if (!is_dropped(k, place_of(place, name_of(k, m)), value_of(k, m))) {
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
    return walk_value(k, value_of(k, m), place_of(place, name));
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

/* The body's members are in the list: those that link 0 is made of go into the chain. */
static int walk_settings(struct walk *k)
{
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        const char *name = settings[i].name;
        const struct member *m = find_member(k, name);
        if (!m) {
            continue;
        }
        k->field = span_str(name);
        writer_aim(&k->w, k->chain, NULL);
        writer_put(&k->w, name, strlen(name) + 1);
        writer_aim(&k->w, k->chain, NULL);
        int rc = walk_value(k, value_of(k, m), settings[i].place);
        if (rc < 0) {
            return rc;
        }
        uint64_t bytes = writer_aim(&k->w, NULL, NULL);
        k->prefix_bytes += settings[i].is_prompt ? bytes : 0;
    }
    if (k->p->messages == 1) {
        close_link(k);
    }
    return 0;
}

static int walk_facts(const struct walk *k)
{
    for (size_t i = 0; i < k->members_n; i++) {
        const struct member *m = &k->members[i];
        int rc = facts_read(k->p, name_of(k, m), value_of(k, m), k->err);
        if (rc < 0) {
            return rc;
        }
    }
    return facts_complete(k->p, k->err);
}

int prompt_read(struct span body, enum prompt_level level, struct prompt *ret,
                struct err *err)
{
    struct prompt p;
    _cleanup_(walk_fini) struct walk k = {
        .w.level = level,
        .base = body.p,
        .whole = hash_open(),
        .chain = hash_open(),
        .p = &p,
        .err = err,
    };
    if (jtext_type(body) != JTEXT_OBJECT || body.n > JTEXT_BYTES_MAX) {
        err_set(err, ERR_INPUT, "body must be a JSON object");
        err_hint(err, "%s", "\"body\": {\"model\": ..., \"messages\": [...]}");
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
