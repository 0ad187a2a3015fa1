/* From a sealed batch to one the provider has: spool file, journal entry, upload, create. */
#include "worker/lane_batch_int.h"

#include <inttypes.h>

#define MISSING_TRIES_MAX 5 /* a file just uploaded may not be visible at once */

/* ---- spool file ---- */

static int run_spool(struct lane_work *w)
{
    const struct lane_batch_conf *conf = &w->lane->conf;
    struct spool_write write = {.queue = conf->queue,
                                .dir = conf->dir,
                                .provider = conf->provider,
                                .batch = w->batch,
                                .stop = &w->lane->stop_work};
    return spool_write(&write, &w->bytes, &w->err);
}

static void on_spooled(struct lane_batch *l, struct batch *b, const struct lane_work *w)
{
    l->spooling = false;
    if (w->rc < 0) {
        lane_fail(l, &w->err);
        return;
    }
    uint64_t max =
        MIN_OF((uint64_t)l->conf.batch->max_bytes, l->conf.provider->batch_bytes_max);
    b->spooled = true;
    b->spool_bytes = w->bytes;
    if (w->bytes > max) {
        lane_too_large(l, b, "its input is larger than the provider accepts");
    }
}

void lane_spool(struct lane_batch *l, struct batch *b)
{
    if (b->count[FATE_ENDED] > 0) {
        lane_too_large(l, b,
                       "some of its calls have ended"); /* lines must stay numbered */
        return;
    }
    if (!l->spooling) {
        l->spooling = lane_do_work(l, b, run_spool, on_spooled);
    }
}

void lane_journal(struct lane_batch *l, struct batch *b)
{
    FAILPOINT("lane.journaled.before");
    lane_move(l, b, BATCH_JOURNALED, NULL);
}

/* ---- upload: may be repeated, for a file alone costs nothing ---- */

static void uploaded(struct lane_batch *l, struct batch *b, const struct http_resp *resp,
                     const struct remote *r)
{
    FAILPOINT("upload.after_reply");
    if (r->sized && r->bytes != b->spool_bytes) {
        lane_event(l, b,
                   "the provider kept %" PRIu64 " of %" PRIu64 " bytes: uploading again",
                   r->bytes, b->spool_bytes);
        lane_ask_again(l, b, resp);
        return;
    }
    memcpy(b->file, r->input, sizeof(b->file));
    b->file_created_s = r->created_s;
    b->look = LOOK_NO;
    lane_move(l, b, BATCH_UPLOADED, NULL);
}

static void on_upload(struct lane_batch *l, struct batch *b, const struct http_resp *resp)
{
    struct err err;
    _cleanup_(remote_fini) struct remote r = {.go = 0};
    switch (l->conf.provider->feed(ASK_UPLOAD, resp, &r, &err)) {
    case STEP_DONE: uploaded(l, b, resp, &r); return;
    case STEP_RETRY:
    case STEP_UNSURE: lane_ask_again(l, b, resp); return;
    case STEP_WAIT:
        err_set(&err, ERR_TEMP, "it offers no file uploads at '%s'",
                l->conf.account->base_url);
        err_hint(&err, "check OPENAI_BASE_URL, it often ends in /v1, and run the same "
                       "command again");
        lane_stop_account(l, b, &err);
        return;
    case STEP_STOP: lane_stop_account(l, b, &err); return;
    case STEP_REJECT:
        (r.fail == FAIL_TOO_LARGE ? lane_too_large : lane_refused)(l, b, r.why);
        return;
    }
}

void lane_upload(struct lane_batch *l, struct batch *b)
{
    if (!lane_may_ask(l, ASK_UPLOAD)) {
        return;
    }
    char path[SPOOL_PATH_MAX];
    spool_path(l->conf.dir, b->id, SPOOL_INPUT, path);
    l->uploads++;
    lane_ask(l, b, (struct provider_ask){.ask = ASK_UPLOAD, .batch = b, .path = path}, -1,
             on_upload);
}

/* ---- create: leaves at most once per file; what is not a clear refusal is looked for ---- */

static void created(struct lane_batch *l, struct batch *b, const struct remote *r)
{
    FAILPOINT("create.reply");
    memcpy(b->remote, r->id, sizeof(b->remote));
    b->seen_ms = loop_now_ms(l->conf.loop);
    lane_move(l, b, BATCH_SUBMITTED, NULL);
    lane_later(l, b, retry_jitter_ms(l->conf.batch->poll_ms, lane_random(l)));
}

/* 404: nothing was created, for the file cannot be seen; at first that may be delay. */
static void not_visible(struct lane_batch *l, struct batch *b,
                        const struct http_resp *resp)
{
    if (b->tries < MISSING_TRIES_MAX) {
        lane_ask_again(l, b, resp);
    } else {
        lane_refused(l, b, "the provider does not find the input file it was given");
    }
}

static void on_create(struct lane_batch *l, struct batch *b, const struct http_resp *resp)
{
    struct err err;
    _cleanup_(remote_fini) struct remote r = {.go = 0};
    switch (l->conf.provider->feed(ASK_CREATE, resp, &r, &err)) {
    case STEP_DONE: created(l, b, &r); return;
    case STEP_WAIT: not_visible(l, b, resp); return;
    case STEP_RETRY: lane_ask_again(l, b, resp); return;
    case STEP_STOP: lane_stop_account(l, b, &err); return;
    case STEP_UNSURE:
        lane_event(l, b, "no clear reply to the create (%s): looking for it", err.msg);
        b->look = LOOK_FIRST;
        lane_ask_again(l, b, resp);
        return;
    case STEP_REJECT:
        (r.fail == FAIL_TOO_LARGE ? lane_too_large : lane_refused)(l, b, r.why);
        return;
    }
}

static bool nothing_there(const struct lane_batch *l, const struct batch *but)
{
    for (const struct batch *b = l->first; b; b = b->next) {
        if (b != but && b->remote[0] && batch_rules[b->state].remote) {
            return false;
        }
    }
    return true;
}

void lane_create(struct lane_batch *l, struct batch *b)
{
    if (!lane_may_ask(l, ASK_CREATE)) {
        return;
    }
    l->creates++;
    b->alone = nothing_there(l, b);
    FAILPOINT("create.before_send");
    lane_ask(l, b, (struct provider_ask){.ask = ASK_CREATE, .batch = b}, -1, on_create);
    FAILPOINT("create.sent");
}
