#include "tests/sim/fault_rule.h"

#include <jansson.h>
#include <stddef.h>
#include <string.h>

/* What a fault may be aimed at, as bits: one per operation. */
#define ON(op)      (1u << (op))
#define ON_REQUESTS (ON(OP_BATCH) - 1)
#define ON_LISTS    (ON(OP_FILES_LIST) | ON(OP_BATCHES_LIST))
#define ON_CREATES  (ON(OP_FILES_CREATE) | ON(OP_BATCHES_CREATE))
#define ON_ANSWERS  (ON(OP_CHAT) | ON(OP_RESPONSES) | ON(OP_EMBEDDINGS) | ON(OP_LINE))

/* Keys of a script line beyond on, do, nth, count and p. */
enum key {
    KEY_STATUS = 1 << 0,
    KEY_CODE = 1 << 1,
    KEY_MESSAGE = 1 << 2,
    KEY_RETRY_AFTER = 1 << 3,
    KEY_AFTER = 1 << 4,
    KEY_MS = 1 << 5,
    KEY_BYTES = 1 << 6,
    KEY_SECONDS = 1 << 7,
    KEY_KEY = 1 << 8,
    KEY_FOR_SECONDS = 1 << 9,
    KEY_SHARE = 1 << 10,
    KEY_BILLED = 1 << 11,
};

static const struct {
    const char *name;
    unsigned on;
    unsigned needs;
    unsigned takes;
} actions[DO_COUNT] = {
    [DO_NOTHING] = {"", 0, 0, 0},
    [DO_DROP_BEFORE] = {"drop_before", ON_REQUESTS, 0, 0},
    [DO_DROP_AFTER] = {"drop_after", ON_REQUESTS, 0, 0},
    [DO_STATUS] = {"status", ON_REQUESTS, KEY_STATUS,
                   KEY_CODE | KEY_MESSAGE | KEY_RETRY_AFTER | KEY_AFTER},
    [DO_SLOW] = {"slow", ON_REQUESTS, KEY_MS, 0},
    [DO_LATE] = {"late", ON_REQUESTS, KEY_MS, 0},
    [DO_TRUNCATE] = {"truncate", ON_REQUESTS, KEY_BYTES, 0},
    [DO_LIST_LAG] = {"list_lag", ON_LISTS | ON_CREATES, KEY_SECONDS, 0},
    [DO_REVOKE_KEY] = {"revoke_key", ON_REQUESTS, 0, KEY_KEY | KEY_FOR_SECONDS},
    [DO_QUOTA] = {"quota", ON_REQUESTS, 0, KEY_KEY | KEY_FOR_SECONDS},
    [DO_EXPIRE] = {"expire", ON(OP_BATCH), 0, KEY_SHARE},
    [DO_FAIL] = {"fail", ON(OP_BATCH), KEY_CODE, KEY_MESSAGE},
    [DO_STALL] = {"stall", ON(OP_BATCH), KEY_SECONDS, 0},
    [DO_CANCEL] = {"cancel", ON(OP_BATCH), 0, KEY_SHARE},
    [DO_REFUSE] = {"refuse", ON_ANSWERS, 0, 0},
    [DO_FILTER] = {"filter", ON_ANSWERS, 0, 0},
    [DO_NO_USAGE] = {"no_usage", ON_ANSWERS, 0, 0},
    [DO_BREAK] = {"break", ON(OP_RESPONSES) | ON(OP_LINE), KEY_CODE,
                  KEY_MESSAGE | KEY_BILLED},
    [DO_ERROR] = {"error", ON(OP_LINE), 0, KEY_STATUS | KEY_CODE | KEY_MESSAGE},
    [DO_OMIT] = {"omit", ON(OP_LINE), 0, KEY_BILLED},
    [DO_DUPLICATE] = {"duplicate", ON(OP_LINE), 0, 0},
    [DO_BAD_JSON] = {"bad_json", ON(OP_LINE), 0, 0},
    [DO_UNKNOWN_ID] = {"unknown_id", ON(OP_LINE), 0, 0},
};

const char *fault_do_name(enum fault_do what)
{
    return actions[what].name;
}

static enum fault_do find_action(const char *name)
{
    int i = DO_NOTHING + 1;
    while (i < DO_COUNT && strcmp(actions[i].name, name) != 0) {
        i++;
    }
    return (enum fault_do)i;
}

enum kind { AS_INT, AS_INT64, AS_DOUBLE, AS_BOOL, AS_STRING };

#define AT(member) offsetof(struct fault_rule, member)

static const struct member {
    const char *name;
    unsigned bit; /* 0: every action takes it */
    enum kind kind;
    size_t offset;
    double min, max; /* of a number; of the bytes of a string, its NUL included */
} members[] = {
    {"nth", 0, AS_INT64, AT(nth), 1, 1e12},
    {"count", 0, AS_INT64, AT(count), 0, 1e12},
    {"p", 0, AS_DOUBLE, AT(p), 0, 1},
    {"status", KEY_STATUS, AS_INT, AT(fault.status), 400, 599},
    {"code", KEY_CODE, AS_STRING, AT(fault.code), 0, sizeof((struct fault *)0)->code},
    {"message", KEY_MESSAGE, AS_STRING, AT(fault.message), 0,
     sizeof((struct fault *)0)->message},
    {"retry_after", KEY_RETRY_AFTER, AS_INT, AT(fault.retry_after_s), 0, 1e6},
    {"after", KEY_AFTER, AS_BOOL, AT(fault.after), 0, 0},
    {"ms", KEY_MS, AS_INT64, AT(fault.ms), 0, 1e7},
    {"bytes", KEY_BYTES, AS_INT64, AT(fault.bytes), 0, 1e9},
    {"seconds", KEY_SECONDS, AS_DOUBLE, AT(fault.seconds), 0, 1e9},
    {"key", KEY_KEY, AS_STRING, AT(fault.key), 0, KEY_MAX},
    {"for_seconds", KEY_FOR_SECONDS, AS_DOUBLE, AT(fault.for_seconds), 0, 1e9},
    {"share", KEY_SHARE, AS_DOUBLE, AT(fault.share), 0, 1},
    {"billed", KEY_BILLED, AS_BOOL, AT(fault.billed), 0, 0},
};

static bool fits(const struct member *m, const json_t *v)
{
    switch (m->kind) {
    case AS_INT:
    case AS_INT64:
        if (!json_is_integer(v)) {
            return false;
        }
        return json_number_value(v) >= m->min && json_number_value(v) <= m->max;
    case AS_DOUBLE:
        return json_is_number(v) && json_number_value(v) >= m->min &&
               json_number_value(v) <= m->max;
    case AS_BOOL: return json_is_boolean(v);
    case AS_STRING: return json_is_string(v) && (double)json_string_length(v) < m->max;
    }
    return false;
}

static void store(struct fault_rule *r, const struct member *m, const json_t *v)
{
    void *to = (char *)r + m->offset;
    switch (m->kind) {
    case AS_INT: *(int *)to = (int)json_integer_value(v); return;
    case AS_INT64: *(int64_t *)to = json_integer_value(v); return;
    case AS_DOUBLE: *(double *)to = json_number_value(v); return;
    case AS_BOOL: *(bool *)to = json_is_true(v); return;
    case AS_STRING: copy_string(to, (size_t)m->max, json_string_value(v)); return;
    }
}

/* One member of the object; *ret_bit tells which. */
static int take_member(struct fault_rule *r, const char *key, const json_t *v,
                       unsigned *ret_bit, struct text *ret_why)
{
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const struct member *m = &members[i];
        if (strcmp(key, m->name) != 0) {
            continue;
        }
        if (!fits(m, v)) {
            text_fmt(ret_why, "'%s' has a value of the wrong type or out of range", key);
            return -1;
        }
        store(r, m, v);
        *ret_bit = m->bit;
        return 0;
    }
    text_fmt(ret_why, "unknown key '%s'", key);
    return -1;
}

static int take_target(struct fault_rule *r, const json_t *object, struct text *ret_why)
{
    const char *on = json_string_value(json_object_get(object, "on"));
    const char *what = json_string_value(json_object_get(object, "do"));
    if (!on || !what) {
        text_put(ret_why, "a rule needs 'on' and 'do', both strings");
        return -1;
    }
    r->on = op_find(on);
    r->fault.what = find_action(what);
    if (r->on == OP_COUNT) {
        text_fmt(ret_why, "unknown operation '%s' in 'on'", on);
        return -1;
    }
    if (r->fault.what == DO_COUNT) {
        text_fmt(ret_why, "unknown action '%s' in 'do'", what);
        return -1;
    }
    if (!(actions[r->fault.what].on & ON(r->on))) {
        text_fmt(ret_why, "'%s' cannot be done on '%s'", what, on);
        return -1;
    }
    return 0;
}

static int check_keys(const struct fault_rule *r, unsigned given, struct text *ret_why)
{
    unsigned needs = actions[r->fault.what].needs;
    unsigned takes = needs | actions[r->fault.what].takes;
    if ((given & needs) != needs || (given & ~takes)) {
        text_fmt(
            ret_why, "'%s' %s; see tests/sim/README.md", fault_do_name(r->fault.what),
            (given & ~takes) ? "does not take one of these keys" : "needs another key");
        return -1;
    }
    return 0;
}

static int read_object(struct fault_rule *r, const json_t *object, struct text *ret_why)
{
    if (take_target(r, object, ret_why) < 0) {
        return -1;
    }
    unsigned given = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        unsigned bit = 0;
        if (!strcmp(key, "on") || !strcmp(key, "do")) {
            continue;
        }
        if (take_member(r, key, value, &bit, ret_why) < 0) {
            return -1;
        }
        given |= bit;
    }
    return check_keys(r, given, ret_why);
}

int fault_rule_read(struct fault_rule *r, const char *line, size_t n,
                    struct text *ret_why)
{
    *r = (struct fault_rule){.nth = 1, .count = 1, .p = 1};
    r->fault =
        (struct fault){.status = 500, .for_seconds = -1, .share = 0.5, .billed = true};
    json_error_t error;
    json_t *object = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(object)) {
        text_fmt(ret_why, "not a JSON object: %s", object ? "another type" : error.text);
        json_decref(object);
        return -1;
    }
    int rc = read_object(r, object, ret_why);
    json_decref(object);
    return rc;
}
