/* From a batch at the provider to both result files on this disk. */
#include "worker/lane_batch_int.h"

#include <errno.h>
#include <stdio.h>

#define CUTS_MAX 3 /* a file whose last line stays without a newline is taken as it is */

/* ---- polling ---- */

static void poll_later(struct lane_batch *l, struct batch *b)
{
    b->tries = 0;
    lane_later(l, b, retry_jitter_ms(l->conf.batch->poll_ms, lane_random(l)));
}

static void seen(struct lane_batch *l, struct batch *b)
{
    b->seen_ms = loop_now_ms(l->conf.loop);
    b->poll_first = false;
    if (b->state == BATCH_SUBMITTED) {
        lane_move(l, b, BATCH_POLLING, NULL);
    }
    poll_later(l, b);
}

/* Not visible yet, or gone; which of the two is a matter of time. */
static void unseen(struct lane_batch *l, struct batch *b)
{
    if (loop_now_ms(l->conf.loop) - b->seen_ms < l->conf.batch->absent_after_ms) {
        poll_later(l, b);
        return;
    }
    char why[300];
    snprintf(why, sizeof(why), "the provider no longer knows batch '%s'", b->remote);
    lane_dead(l, b, why, true);
}

/* Room at the account: what was refused for lack of it need not wait for its time. */
static void wake_overflowed(struct lane_batch *l)
{
    for (struct batch *b = l->first; b; b = b->next) {
        if (b->state == BATCH_RETRY && b->overflows > 0) {
            b->due_wall_ms = b->again_ms = 0;
            b->due_ms = 0;
        }
    }
}

static void failed_as_a_whole(struct lane_batch *l, struct batch *b, struct remote *r)
{
    if (b->deleting) {
        lane_anew(l, b); /* we took its input away: that is why */
        return;
    }
    switch (r->fail) {
    case FAIL_OVERFLOW: lane_overflow(l, b, r->why); return;
    case FAIL_TOO_LARGE: lane_too_large(l, b, r->why); return;
    case FAIL_LINES: lane_bad_lines(l, b, r); return;
    case FAIL_NONE:
    case FAIL_OTHER: lane_refused(l, b, r->why); return;
    }
}

static void ended(struct lane_batch *l, struct batch *b, struct remote *r)
{
    FAILPOINT("poll.terminal");
    memcpy(b->output, r->output, sizeof(b->output));
    memcpy(b->error, r->error, sizeof(b->error));
    b->counted = r->counted;
    b->executed = r->completed + r->failed;
    b->seen_ms = loop_now_ms(l->conf.loop);
    b->stage = b->cuts = b->tries = 0;
    b->due_ms = 0;
    wake_overflowed(l);
    if (r->state == REMOTE_EXPIRED || r->state == REMOTE_CANCELLED) {
        bool expired = r->state == REMOTE_EXPIRED;
        lane_event(l, b, "%s at the provider: what was done is kept, the rest %s",
                   expired ? "expired" : "cancelled",
                   b->cancelling ? "ends as cancelled" : "goes again");
        lane_move(l, b, expired ? BATCH_EXPIRED : BATCH_CANCELLED, NULL);
    } else if (r->state == REMOTE_COMPLETED || r->output[0] || r->error[0]) {
        b->ended = true;
        lane_step(l, b, "completed at the provider");
    } else {
        failed_as_a_whole(l, b, r);
    }
}

static void on_poll(struct lane_batch *l, struct batch *b, const struct http_resp *resp)
{
    struct err err;
    _cleanup_(remote_fini) struct remote r = {.go = 0};
    switch (l->conf.provider->feed(ASK_BATCH, resp, &r, &err)) {
    case STEP_DONE: ended(l, b, &r); return;
    case STEP_WAIT: (r.id[0] ? seen : unseen)(l, b); return;
    case STEP_REJECT: unseen(l, b); return;
    case STEP_RETRY:
    case STEP_UNSURE: lane_ask_again(l, b, resp); return;
    case STEP_STOP: lane_stop_account(l, b, &err); return;
    }
}

void lane_poll(struct lane_batch *l, struct batch *b)
{
    if (lane_may_ask(l, ASK_BATCH)) {
        l->polls++;
        lane_ask(l, b, (struct provider_ask){.ask = ASK_BATCH, .ref = b->remote}, -1,
                 on_poll);
    }
}

/* ---- downloading ---- */

static enum spool_file file_of(const struct batch *b)
{
    return b->stage == 0 ? SPOOL_OUTPUT : SPOOL_ERROR;
}

static int run_check(struct lane_work *w)
{
    return spool_check(w->lane->conf.dir, w->batch->id, file_of(w->batch), &w->check,
                       &w->err);
}

/* What a web page in place of a result file was, as a reply. */
static const struct http_resp page_reply = {
    .outcome = HTTP_REPLY, .status = 200, .retry_after_ms = -1};

static void on_checked(struct lane_batch *l, struct batch *b, const struct lane_work *w)
{
    if (w->rc < 0) {
        lane_fail(l, &w->err);
        return;
    }
    if (w->check.page) {
        lane_ask_again(l, b, &page_reply);
        return;
    }
    lane_heard_well(l);
    if (!w->check.ends && ++b->cuts < CUTS_MAX) {
        return; /* its last line is cut: once more */
    }
    b->stage++;
    b->cuts = 0;
    b->tries = 0;
}

static void on_download(struct lane_batch *l, struct batch *b,
                        const struct http_resp *resp)
{
    struct err err;
    _cleanup_(remote_fini) struct remote r = {.go = 0};
    if (resp->sink_errno) {
        err_set(&err, ERR_FAIL, "could not write the results of batch '%s': %s", b->id,
                strerror(resp->sink_errno));
        err_hint(&err, "make room in '%s' and run the same command again", l->conf.dir);
        lane_fail(l, &err);
        return;
    }
    FAILPOINT("download.mid");
    bool late = loop_now_ms(l->conf.loop) - b->seen_ms >= l->conf.batch->absent_after_ms;
    switch (l->conf.provider->feed(ASK_CONTENT, resp, &r, &err)) {
    case STEP_DONE:
        l->heard.useful = false; /* not known before it was looked at */
        lane_do_work(l, b, run_check, on_checked);
        return;
    case STEP_STOP: lane_stop_account(l, b, &err); return;
    case STEP_RETRY:
    case STEP_UNSURE: lane_ask_again(l, b, resp); return;
    case STEP_WAIT:
    case STEP_REJECT:
        if (!late) {
            lane_ask_again(l, b, resp);
            return;
        }
        lane_event(l, b, "the provider no longer has result file '%s'",
                   b->stage == 0 ? b->output : b->error);
        b->stage++;
        return;
    }
}

void lane_download(struct lane_batch *l, struct batch *b)
{
    struct err err;
    if (b->stage >= 2) {
        lane_move(l, b, BATCH_FETCHED, NULL);
        return;
    }
    const char *id = b->stage == 0 ? b->output : b->error;
    if (id[0] && !lane_may_ask(l, ASK_CONTENT)) {
        return;
    }
    int fd = spool_create(l->conf.dir, b->id, file_of(b), &err);
    if (fd < 0) {
        lane_fail(l, &err);
    } else if (id[0]) {
        lane_ask(l, b, (struct provider_ask){.ask = ASK_CONTENT, .ref = id}, fd,
                 on_download);
    } else {
        attr_closep(&fd); /* no such stream: an empty file says so */
        b->stage++;
        lane_kick(l);
    }
}
