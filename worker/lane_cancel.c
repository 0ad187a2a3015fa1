/* Batches in which nobody has an interest any more: ended here, or cancelled at the provider. */
#include "worker/lane_batch_int.h"

#include <stdio.h>

/* In the journal: the members of a batch that died of it end as cancelled, not as failed. */
static const char called_off[] = "every run that needed it was cancelled";

bool lane_called_off(const struct batch *b)
{
    return strcmp(b->why, called_off) == 0;
}

/* Calls with a job of a run that goes on, or that others joined, are wanted. */
static bool is_wanted(const struct batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const struct call *c = b->calls[i];
        if (b->fates[i] == FATE_HERE && (!c->cancelled || c->jobs_len > 1)) {
            return true;
        }
    }
    return b->count[FATE_HERE] == 0;
}

int lane_cancel_call(struct lane_batch *l, struct batch *b, uint32_t i)
{
    batch_fate(b, i, FATE_SETTLING);
    int rc = settle_cancelled(l->conf.settle, b->calls[i]);
    l->failed = l->failed || rc < 0; /* settle has told why */
    return rc;
}

static void on_asked(struct lane_batch *l, struct batch *b, const struct http_resp *resp)
{
    struct err err;
    _cleanup_(remote_fini) struct remote r = {.go = 0};
    switch (l->conf.provider->feed(ASK_CANCEL, resp, &r, &err)) {
    case STEP_DONE:
    case STEP_WAIT:
    case STEP_REJECT: /* it has ended already: the next poll tells how */
        FAILPOINT("cancel.asked");
        b->cancelling = true;
        b->due_ms = 0;
        return;
    case STEP_RETRY:
    case STEP_UNSURE: /* perhaps for it is cancelled, or over: a poll comes before another */
        b->poll_first = true;
        lane_ask_again(l, b, resp);
        return;
    case STEP_STOP: lane_stop_account(l, b, &err); return;
    }
}

bool lane_cancel(struct lane_batch *l, struct batch *b)
{
    enum batch_wait wait = batch_rules[b->state].wait;
    bool there = wait == BATCH_WAITS_END && !b->ended && !b->cancelling && !b->poll_first;
    bool here = b->state == BATCH_JOURNALED || b->state == BATCH_RETRY;
    if (!l->cancels || (!there && !here) || is_wanted(b)) {
        return false;
    }
    if (here) {
        lane_event(l, b, "not sent: %s", called_off);
        memcpy(b->why, called_off, sizeof(called_off));
        b->in_doubt = false;
        lane_move(l, b, BATCH_DEAD, NULL);
    } else if (lane_may_ask(l, ASK_CANCEL)) {
        lane_event(l, b, "is cancelled at the provider: %s", called_off);
        lane_ask(l, b, (struct provider_ask){.ask = ASK_CANCEL, .ref = b->remote}, -1,
                 on_asked);
    }
    return true;
}

void lane_batch_on_cancel(struct lane_batch *l)
{
    l->cancels = true;
    for (struct batch *b = l->first; b; b = b->next) {
        bool waits = b->state == BATCH_RETRY ||
                     batch_rules[b->state].wait == BATCH_WAITS_END;
        if (waits && !b->cancelling && !is_wanted(b)) {
            b->due_ms = 0; /* neither for its time nor for the next poll */
        }
    }
    lane_kick(l);
}
