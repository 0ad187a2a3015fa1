/* Whose data folder is it: taking it, joining its owner, taking over (session_int.h). */
#include "cli/session_int.h"

#include <stdio.h>
#include <time.h>

#define NOTE_TRIES     40 /* 25 ms apart: a new owner leaves its note at once */
#define NOTE_BYTES_MAX ((size_t)8 << 10)
#define PARTS_APART    "; "

/* ---- the owner's note: "https://api.openai.com 7c1e09aa41d2; pool:default, ..." ---- */

/* What a process works for: a provider's account, servers of one's own. "" where it has none. */
struct note {
    char provider[sizeof(((struct endpoint *)0)->origin) +
                  sizeof(((struct endpoint *)0)->account)];
    char pool[SERVERS_NOTE_MAX];
};

static void note_of(const struct endpoint *e, struct note *ret)
{
    *ret = (struct note){0};
    if (e->key) {
        snprintf(ret->provider, sizeof(ret->provider), "%s %s", e->origin, e->account);
    }
    snprintf(ret->pool, sizeof(ret->pool), "%s", e->pool.note);
}

static void note_read(const char *text, struct note *ret)
{
    const char *apart = strstr(text, PARTS_APART);
    bool only_pool = !strncmp(text, ENDPOINT_POOL, strlen(ENDPOINT_POOL));
    size_t n = only_pool ? 0 : apart ? (size_t)(apart - text) : strlen(text);
    const char *pool = only_pool ? text : apart ? apart + strlen(PARTS_APART) : "";
    snprintf(ret->provider, sizeof(ret->provider), "%.*s", (int)n, text);
    snprintf(ret->pool, sizeof(ret->pool), "%s", pool);
}

static void note_text(const struct note *n, char *ret, size_t size)
{
    bool both = n->provider[0] && n->pool[0];
    snprintf(ret, size, "%s%s%s", n->provider, both ? PARTS_APART : "", n->pool);
}

static int leave_note(struct session *s, struct err *err)
{
    struct note ours;
    char text[sizeof(ours) + sizeof(PARTS_APART)];
    note_of(s->conf.endpoint, &ours);
    note_text(&ours, text, sizeof(text));
    return queue_owner_note(s->queue, text, err);
}

/* Whoever only queues lines needs neither key nor servers; where they go must be the same. */
static bool begins(const char *part, const char *endpoint)
{
    size_t n = strlen(endpoint);
    return !strncmp(part, endpoint, n) && (part[n] == ' ' || part[n] == ',');
}

/* Would the owner do with our lines what we would? It must have what their lane needs; a run
 * without lines, which will take over, needs that what both have is the same. */
static bool works_for(const struct session *s, const struct note *theirs,
                      const struct note *ours)
{
    bool provider = !strcmp(theirs->provider, ours->provider);
    bool pool = !strcmp(theirs->pool, ours->pool);
    if (s->conf.only_queue) {
        provider = ours->provider[0] ? provider
                                     : begins(theirs->provider, s->conf.endpoint->origin);
        pool = ours->pool[0] ? pool
                             : begins(theirs->pool, s->conf.endpoint->pool.endpoint);
    }
    if (s->conf.file) {
        return s->conf.row.lane == LANE_POOL ? pool : provider;
    }
    return (provider || !theirs->provider[0] || !ours->provider[0]) &&
           (pool || !theirs->pool[0] || !ours->pool[0]);
}

/* The owner works for one account and one pool; our lines must mean the same. */
static int compare_note(struct session *s, const char *note, struct err *err)
{
    struct note theirs, ours;
    char wanted[sizeof(ours) + sizeof(PARTS_APART)];
    note_of(s->conf.endpoint, &ours);
    note_read(note, &theirs);
    if (works_for(s, &theirs, &ours)) {
        return 0;
    }
    bool one = s->conf.file; /* the part its lines are for */
    if (one && s->conf.row.lane == LANE_POOL) {
        ours.provider[0] = '\0';
    } else if (one) {
        ours.pool[0] = '\0';
    }
    note_text(&ours, wanted, sizeof(wanted));
    if (!wanted[0]) {
        snprintf(wanted, sizeof(wanted), "%s", s->conf.row.endpoint);
    }
    err_set(err, ERR_TEMP,
            "could not add to '%s': the process that owns it works for '%s', not "
            "for '%s'",
            s->cli->data, note, wanted);
    err_hint(err, "wait until it has ended, or use another folder with --data");
    return -ERR_TEMP;
}

/* ---- taking it ---- */

/* 1 it is ours now, 0 somebody else works there, for the same account. */
int session_take_or_join(struct session *s, struct err *err)
{
    for (int i = 0; i < NOTE_TRIES; i++) {
        int rc = queue_take_ownership(s->queue, err);
        if (rc > 0) {
            s->owner = true;
            rc = leave_note(s, err);
            return rc < 0 ? rc : 1;
        }
        _cleanup_(buf_fini) struct buf note;
        buf_init(&note, NOTE_BYTES_MAX);
        if (rc == 0) {
            rc = queue_owner_read(s->queue, &note, err);
        }
        if (rc < 0 || (rc > 0 && note.n)) {
            return rc < 0 ? rc : compare_note(s, note.p, err);
        }
        struct timespec pause = {.tv_nsec = 25 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
    return err_set(err, ERR_TEMP, "could not use '%s': another process is starting on it",
                   s->cli->data);
}

int session_check_owner(struct session *s, struct err *err)
{
    _cleanup_(buf_fini) struct buf note;
    buf_init(&note, NOTE_BYTES_MAX);
    int rc = queue_owner_read(s->queue, &note, err);
    return rc > 0 && note.n ? compare_note(s, note.p, err) : MIN_OF(rc, 0);
}

void session_try_take_over(struct session *s)
{
    struct err err = {0};
    if (s->owner) {
        return;
    }
    int rc = queue_take_ownership(s->queue, &err);
    if (rc == 0) {
        return;
    }
    if (rc > 0) {
        s->owner = true;
        session_on_event(s, NULL,
                         "the process that owned the data folder has ended; going on "
                         "in its place");
        rc = leave_note(s, &err);
    }
    rc = rc < 0 ? rc : session_start_roles(s, &err);
    if (rc < 0) {
        session_end(s, SESSION_FAILED, &err);
    }
}
