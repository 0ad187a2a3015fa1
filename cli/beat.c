#include "cli/beat.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#define PATH_BYTES 4200
#define TEXT_MAX   ((size_t)32 << 10)

static void add_text(struct buf *to, const char *name, const char *value)
{
    buf_addf(to, "\"%s\":", name);
    buf_add_json(to, span_str(value));
}

static void add_gate(struct buf *to, const struct beat_gate *g)
{
    buf_adds(to, "{");
    add_text(to, "queue", g->queue);
    buf_addf(to, ",\"closed\":%s,", g->closed ? "true" : "false");
    add_text(to, "why", g->why);
    buf_adds(to, ",");
    add_text(to, "hint", g->hint);
    buf_adds(to, "}");
}

static void add_poll(struct buf *to, const struct beat_poll *p)
{
    buf_adds(to, "{");
    add_text(to, "batch", p->batch);
    buf_addf(to, ",\"at_ms\":%lld}", (long long)p->at_ms);
}

void beat_add_gate(struct beat *b, const char *team, const char *feature,
                   const struct gate *gate, const char *where)
{
    if (gate->kind == GATE_OPEN || b->gates_n == BEAT_GATES_MAX) {
        return;
    }
    struct beat_gate *g = &b->gates[b->gates_n++];
    *g = (struct beat_gate){.closed = gate->closed};
    snprintf(g->queue, sizeof(g->queue), "%s/%s", team, feature);
    snprintf(g->why, sizeof(g->why), "%s", gate->why);
    if (gate->closed) {
        snprintf(g->hint, sizeof(g->hint), "%s%s", gate->hint, where);
    }
}

static void encode(const struct beat *b, struct buf *to)
{
    buf_addf(to, "{\"started_ms\":%lld,\"next_poll_ms\":%lld,\"waiting\":%llu,",
             (long long)b->started_ms, (long long)b->next_poll_ms,
             (unsigned long long)b->waiting);
    add_text(to, "account", b->account);
    buf_adds(to, ",");
    add_text(to, "account_hint", b->account_hint);
    buf_adds(to, ",\"gates\":[");
    for (unsigned i = 0; i < b->gates_n; i++) {
        buf_adds(to, i ? "," : "");
        add_gate(to, &b->gates[i]);
    }
    buf_adds(to, "],\"polls\":[");
    for (unsigned i = 0; i < b->polls_n; i++) {
        buf_adds(to, i ? "," : "");
        add_poll(to, &b->polls[i]);
    }
    buf_adds(to, "]}\n");
}

/* Whole or not at all: readers never see half of one. */
int beat_write(const char *dir, const struct beat *b)
{
    char path[PATH_BYTES], fresh[PATH_BYTES];
    _cleanup_(buf_fini) struct buf text;
    buf_init(&text, TEXT_MAX);
    encode(b, &text);
    snprintf(path, sizeof(path), "%s/beat.json", dir);
    snprintf(fresh, sizeof(fresh), "%s/.beat.json", dir);
    FILE *file = text.failed ? NULL : fopen(fresh, "we");
    if (!file) {
        return -1;
    }
    bool good = fwrite(text.p, 1, text.n, file) == text.n;
    good = fclose(file) == 0 && good;
    return good && rename(fresh, path) == 0 ? 0 : -1;
}

void beat_remove(const char *dir)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/beat.json", dir);
    unlink(path);
}

/* ---- reading ---- */

static void read_text(const json_t *o, const char *name, char *ret, size_t size)
{
    const char *value = json_string_value(json_object_get(o, name));
    snprintf(ret, size, "%s", value ? value : "");
}

static int64_t read_number(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

static void read_gates(const json_t *gates, struct beat *ret)
{
    size_t i;
    json_t *o;
    json_array_foreach(gates, i, o)
    {
        if (ret->gates_n == BEAT_GATES_MAX) {
            return;
        }
        struct beat_gate *g = &ret->gates[ret->gates_n++];
        read_text(o, "queue", g->queue, sizeof(g->queue));
        read_text(o, "why", g->why, sizeof(g->why));
        read_text(o, "hint", g->hint, sizeof(g->hint));
        g->closed = json_is_true(json_object_get(o, "closed"));
    }
}

static void read_polls(const json_t *polls, struct beat *ret)
{
    size_t i;
    json_t *o;
    json_array_foreach(polls, i, o)
    {
        if (ret->polls_n == BEAT_POLLS_MAX) {
            return;
        }
        struct beat_poll *p = &ret->polls[ret->polls_n++];
        read_text(o, "batch", p->batch, sizeof(p->batch));
        p->at_ms = read_number(o, "at_ms");
    }
}

bool beat_read(const char *dir, struct beat *ret)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/beat.json", dir);
    json_t *o = json_load_file(path, 0, NULL);
    *ret = (struct beat){0};
    if (!o) {
        return false;
    }
    ret->started_ms = read_number(o, "started_ms");
    ret->next_poll_ms = read_number(o, "next_poll_ms");
    ret->waiting = (uint64_t)read_number(o, "waiting");
    read_text(o, "account", ret->account, sizeof(ret->account));
    read_text(o, "account_hint", ret->account_hint, sizeof(ret->account_hint));
    read_gates(json_object_get(o, "gates"), ret);
    read_polls(json_object_get(o, "polls"), ret);
    json_decref(o);
    return true;
}
