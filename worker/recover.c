/*
 * recover.c - what is known after a restart or a lost reply, and what must be found out first.
 *
 * Registering: every journal row becomes a batch with its members as calls; a member whose
 * record is acknowledged has its result already. The batch then goes on from its state like any
 * other, only that one in `uploaded` looks before it creates.
 *
 * Probing: a row made under another key is not touched before the provider said, by showing our
 * key the row's input file or batch, that both keys belong to one account. Until every row is
 * confirmed nothing at all is bought: the other account may be answering the same jobs.
 *
 * Looking: a create may have been accepted without our knowing. The list of batches is read,
 * newest first, back to ten minutes before the input file was made (by the provider's own
 * clock). What carries our submit key and go is adopted. If there is none, the input file is
 * deleted - so that a create still on its way finds nothing to run - and after
 * batch.absent_after the list is read once more; what is absent then was never created, and the
 * batch starts anew. A found batch that failed after its input was deleted failed for that
 * reason: it starts anew and counts as no attempt.
 *
 * Two live batches for one key cannot come about this way: a second create leaves only after
 * the first one's input is gone. Should a list show two all the same, the older is adopted and
 * the other cancelled, and the user is told its id: what it billed before is no spend record
 * of ours but a difference that reconciling with the invoice must name.
 */
#include "worker/lane_batch_int.h"
#include "worker/released.h"

#include <stdio.h>
#include <stdlib.h>

#define LOOK_BACK_S    600
#define LOOK_PAGES_MAX 200
#define EXTRAS_MAX     4

/* ---- registering ---- */

struct registering {
    struct lane_batch *lane;
    struct queue_cursor *cursor;
};

/* Makes the call of one member; *ret NULL when its job has ended already. */
static int member(struct registering *g, uint64_t place, struct call **ret,
                  struct err *err)
{
    struct lane_batch *l = g->lane;
    const struct released_from from = {.feed = l->conf.feed,
                                       .cursor = g->cursor,
                                       .calls = l->conf.calls,
                                       .cancels = l->conf.cancels};
    int rc = released_call(&from, place, ret, err);
    l->cancels = l->cancels || (*ret && (*ret)->cancelled);
    return rc;
}

static bool has_results(const struct lane_batch *l, const struct batch *b)
{
    return spool_exists(l->conf.dir, b->id, SPOOL_OUTPUT) &&
           spool_exists(l->conf.dir, b->id, SPOOL_ERROR);
}

/* What was meant for one provider is never sent to another. */
static int check_origin(const struct lane_batch *l, const struct batch *b,
                        struct err *err)
{
    const char *now = l->conf.account->origin;
    if (b->count[FATE_ENDED] == b->n || strcmp(b->origin, now) == 0) {
        return 0;
    }
    err_set(
        err, ERR_USAGE,
        "could not go on with batch '%s': it is under way at '%s', and the base URL is '%s' now",
        b->id, b->origin, now);
    err_hint(err, "set OPENAI_BASE_URL back to '%s' until that batch is fetched",
             b->origin);
    return -(int)ERR_USAGE;
}

/* Whose batch is it? One that must still be asked for at the provider needs its account. */
static int check_account(struct lane_batch *l, struct batch *b, struct err *err)
{
    const struct account *a = l->conf.account;
    bool remote = batch_rules[b->state].remote ||
                  (b->state == BATCH_FETCHED && !has_results(l, b));
    int rc = check_origin(l, b, err);
    if (rc < 0 || strcmp(b->account, a->fingerprint) == 0) {
        return rc;
    }
    b->foreign = remote;
    if (b->state == BATCH_JOURNALED || b->state == BATCH_RETRY) {
        snprintf(b->account, sizeof(b->account), "%s", a->fingerprint);
        b->file[0] =
            '\0'; /* nothing of it is alive there: it starts anew under our account */
    }
    return 0;
}

static int restore(struct registering *g, struct batch *b, const struct journal_entry *e,
                   struct err *err)
{
    struct lane_batch *l = g->lane;
    enum batch_state state;
    uint32_t requests;
    int rc = journal_decode(e->row, b, &state, &requests, err);
    if (rc >= 0 && requests != e->n) {
        rc = err_set(err, ERR_VERSION,
                     "could not restore batch '%s': %u of %u members are there", b->id,
                     e->n, requests);
    }
    for (uint32_t i = 0; rc >= 0 && i < e->n; i++) {
        struct call *c;
        rc = member(g, e->at[i], &c, err);
        if (rc >= 0) {
            rc = batch_add(b, c, e->at[i], err);
        }
    }
    if (rc < 0) {
        return rc;
    }
    /* With every member's end committed nothing is left to do but to close it. */
    bool over = b->count[FATE_ENDED] == b->n;
    rc = batch_restore(b, over ? BATCH_DEAD : state, err);
    b->look = b->state == BATCH_UPLOADED ? LOOK_FIRST : LOOK_NO;
    b->seen_ms = loop_now_ms(l->conf.loop);
    return rc < 0 ? rc : check_account(l, b, err);
}

static int on_entry(void *ctx, const struct journal_entry *e, struct err *err)
{
    struct registering *g = ctx;
    struct batch *b;
    enum lane lane;
    if (journal_lane(e->row, &lane) < 0) {
        return err_set(err, ERR_VERSION, "could not read the journal: a row's lane is %s",
                       "none that this version knows");
    }
    if (lane != LANE_BATCH) {
        return 0;
    }
    int rc = batch_create(&b, e->n, err);
    if (rc < 0) {
        return rc;
    }
    b->partition = e->partition;
    lane_link(g->lane, b);
    return restore(g, b, e, err);
}

static bool is_known(void *ctx, const char *id)
{
    const struct lane_batch *l = ctx;
    for (const struct batch *b = l->first; b; b = b->next) {
        if (strcmp(b->id, id) == 0) {
            return true;
        }
    }
    return false;
}

int lane_batch_recover(struct lane_batch *l, struct err *err)
{
    struct registering g = {.lane = l};
    int rc = queue_cursor_open(l->conf.queue, &g.cursor, err);
    if (rc < 0) {
        return rc;
    }
    rc = journal_read_owned(l->conf.queue, on_entry, &g, err);
    queue_cursor_close(g.cursor);
    if (rc < 0) {
        l->failed = true;
        return rc;
    }
    spool_sweep(l->conf.dir, is_known, l);
    lane_kick(l);
    return 0;
}

/* ---- probing ---- */

static void confirmed(struct lane_batch *l, struct batch *b)
{
    lane_event(l, b, "the key is another one than '%s', the account is the same",
               b->account);
    snprintf(b->account, sizeof(b->account), "%s", l->conf.account->fingerprint);
    b->foreign = false;
    lane_save(l, b, NULL);
}

static void not_ours(struct lane_batch *l, const struct batch *b)
{
    struct err err;
    err_set(
        &err, ERR_AUTH,
        "could not go on with batch '%s': account '%s' made it, and the key is of account '%s'",
        b->id, b->account, l->conf.account->fingerprint);
    err_hint(
        &err,
        "run once with a key of account '%s', until that batch is fetched; nothing is "
        "bought before",
        b->account);
    lane_fail(l, &err);
}

static void on_probe(struct lane_batch *l, struct batch *b, const struct http_resp *resp)
{
    struct err err;
    _cleanup_(remote_fini) struct remote r = {.go = 0};
    enum ask ask = b->probe == 0 ? ASK_FILE : ASK_BATCH;
    enum step step = l->conf.provider->feed(ask, resp, &r, &err);
    bool forbidden = resp->outcome == HTTP_REPLY && resp->status == 403;
    if (step == STEP_DONE || (step == STEP_WAIT && r.id[0])) {
        confirmed(l, b);
    } else if (step == STEP_WAIT || step == STEP_REJECT || forbidden) {
        b->probe++;
    } else if (step == STEP_STOP) {
        lane_stop_account(l, b, &err);
    } else {
        lane_ask_again(l, b, resp);
    }
}

void lane_probe(struct lane_batch *l, struct batch *b)
{
    if (b->probe == 0 && (!b->file[0] || b->deleting)) {
        b->probe++;
    }
    if (b->probe > 1 || (b->probe == 1 && !b->remote[0])) {
        not_ours(l, b);
    } else if (lane_may_ask(l, ASK_FILE)) {
        struct provider_ask file = {.ask = ASK_FILE, .ref = b->file};
        struct provider_ask batch = {.ask = ASK_BATCH, .ref = b->remote};
        lane_ask(l, b, b->probe == 0 ? file : batch, -1, on_probe);
    }
}

/* ---- looking ---- */

struct batch_search {
    char after[BATCH_REF_MAX];
    unsigned pages;
    bool found, failed; /* failed: what was found is a failed one */
    char best[BATCH_REF_MAX];
    char extras[EXTRAS_MAX][BATCH_REF_MAX]; /* to be cancelled */
    unsigned extras_len;
};

void batch_search_free(struct batch_search *s)
{
    free(s);
}

static void add_extra(struct batch_search *s, const char *id)
{
    if (s->extras_len < EXTRAS_MAX) {
        memcpy(s->extras[s->extras_len++], id, BATCH_REF_MAX);
    }
}

/* One batch of the list, which runs from newest to oldest: is it ours? */
static void consider(struct batch_search *s, const struct batch *b,
                     const struct remote *r)
{
    bool failed = r->state == REMOTE_FAILED;
    bool stamped = strcmp(r->key, b->id) == 0;
    bool by_file = !r->key[0] && strcmp(r->input, b->file) == 0 && !failed;
    if (stamped && r->go != b->go) {
        if (r->state == REMOTE_RUNNING) {
            add_extra(s, r->id); /* an earlier go came alive after all */
        }
        return;
    }
    if ((!stamped && !by_file) || (s->found && failed)) {
        return;
    }
    if (s->found && !s->failed) {
        add_extra(s, s->best); /* the older one is adopted */
    }
    s->found = true;
    s->failed = failed;
    memcpy(s->best, r->id, sizeof(s->best));
}

static bool is_last_page(const struct batch *b, const struct remote_page *p)
{
    if (!p->more || p->n == 0) {
        return true;
    }
    int64_t since_s = b->file_created_s > 0 ? b->file_created_s : b->created_ms / 1000;
    int64_t first_s = p->v[0].created_s, last_s = p->v[p->n - 1].created_s;
    bool newest_first = first_s >= last_s; /* no document promises the order */
    return newest_first && last_s > 0 && last_s < since_s - LOOK_BACK_S;
}

static void adopt(struct lane_batch *l, struct batch *b)
{
    memcpy(b->remote, b->search->best, sizeof(b->remote));
    batch_search_free(b->search);
    b->search = NULL;
    b->look = LOOK_NO;
    b->seen_ms = loop_now_ms(l->conf.loop);
    lane_event(l, b, "found what the earlier create made: '%s'", b->remote);
    lane_move(l, b, BATCH_SUBMITTED, NULL);
}

static void on_cancelled(struct lane_batch *l, struct batch *b,
                         const struct http_resp *resp);

/* Cancels what should not be there, one by one; then acts on what was found. */
static void conclude(struct lane_batch *l, struct batch *b)
{
    struct batch_search *s = b->search;
    if (s->extras_len > 0) {
        const char *id = s->extras[s->extras_len - 1];
        lane_ask(l, b, (struct provider_ask){.ask = ASK_CANCEL, .ref = id}, -1,
                 on_cancelled);
        return;
    }
    if (s->found) {
        adopt(l, b);
        return;
    }
    batch_search_free(s);
    b->search = NULL;
    if (b->look == LOOK_AGAIN) {
        lane_event(l, b, "the earlier create never happened: starting anew");
        lane_anew(l, b);
        return;
    }
    b->look = LOOK_DELETE;
    b->deleting = true;
    lane_save(l, b, NULL);
}

static void on_cancelled(struct lane_batch *l, struct batch *b,
                         const struct http_resp *resp)
{
    struct err err;
    _cleanup_(remote_fini) struct remote r = {.go = 0};
    struct batch_search *s = b->search;
    enum step step = l->conf.provider->feed(ASK_CANCEL, resp, &r, &err);
    lane_event(
        l, b, "a second batch '%s' was found for it and %s", s->extras[s->extras_len - 1],
        step == STEP_DONE ? "cancelled" : "could not be cancelled: look at the invoice");
    s->extras_len--;
    conclude(l, b);
}

static void on_page(struct lane_batch *l, struct batch *b, const struct remote_page *p)
{
    struct batch_search *s = b->search;
    for (size_t i = 0; i < p->n; i++) {
        consider(s, b, &p->v[i]);
    }
    b->tries = 0;
    if (is_last_page(b, p)) {
        conclude(l, b);
        return;
    }
    memcpy(s->after, p->v[p->n - 1].id, sizeof(s->after));
    if (++s->pages >= LOOK_PAGES_MAX) {
        lane_event(l, b,
                   "more than %d batches are newer than this one: looking again later",
                   LOOK_PAGES_MAX * REMOTE_PAGE_MAX);
        memset(s, 0, sizeof(*s));
        lane_later(l, b, l->conf.batch->absent_after_ms);
    }
}

static void on_list(struct lane_batch *l, struct batch *b, const struct http_resp *resp)
{
    struct err err;
    _cleanup_(remote_page_fini) struct remote_page page = {.n = 0};
    switch (l->conf.provider->feed_list(resp, &page, &err)) {
    case STEP_DONE: on_page(l, b, &page); return;
    case STEP_RETRY:
    case STEP_UNSURE: lane_ask_again(l, b, resp); return;
    case STEP_STOP: lane_stop_account(l, b, &err); return;
    case STEP_WAIT:
    case STEP_REJECT:
        err_set(&err, ERR_TEMP,
                "it lists no batches, so whether one was created stays unknown");
        err_hint(&err, "check OPENAI_BASE_URL, and run the same command again");
        lane_stop_account(l, b, &err);
        return;
    }
}

static void on_deleted(struct lane_batch *l, struct batch *b,
                       const struct http_resp *resp)
{
    struct err err;
    _cleanup_(remote_fini) struct remote r = {.go = 0};
    switch (l->conf.provider->feed(ASK_DELETE_FILE, resp, &r, &err)) {
    case STEP_DONE:
    case STEP_WAIT: /* it is not there: as good */
        FAILPOINT("recover.deleted");
        b->look = LOOK_WAIT;
        lane_later(l, b, l->conf.batch->absent_after_ms);
        return;
    case STEP_RETRY:
    case STEP_UNSURE: lane_ask_again(l, b, resp); return;
    case STEP_STOP: lane_stop_account(l, b, &err); return;
    case STEP_REJECT: /* while the input stands, a late create could run: only look */
        b->look = LOOK_FIRST;
        lane_later(l, b, l->conf.batch->absent_after_ms);
        return;
    }
}

static void look_at_list(struct lane_batch *l, struct batch *b)
{
    struct err err;
    if (!b->search) {
        b->search = calloc(1, sizeof(*b->search));
    }
    if (!b->search) {
        err_set(&err, ERR_FAIL, "could not look for batch '%s': out of memory", b->id);
        lane_fail(l, &err);
        return;
    }
    FAILPOINT("recover.look");
    lane_ask(l, b, (struct provider_ask){.ask = ASK_LIST, .after = b->search->after}, -1,
             on_list);
}

void lane_look(struct lane_batch *l, struct batch *b)
{
    if (!lane_may_ask(l, b->look == LOOK_DELETE ? ASK_DELETE_FILE : ASK_LIST)) {
        return;
    }
    switch (b->look) {
    case LOOK_NO: return;
    case LOOK_WAIT:
        b->look = LOOK_AGAIN;
        look_at_list(l, b);
        return;
    case LOOK_FIRST:
    case LOOK_AGAIN: look_at_list(l, b); return;
    case LOOK_DELETE:
        lane_ask(l, b, (struct provider_ask){.ask = ASK_DELETE_FILE, .ref = b->file}, -1,
                 on_deleted);
        return;
    }
}
