/*
 * settle_held.c - what teams get whose topics refuse: their parts wait here, whole, so that what was
 * paid for and is in our hands stays there, and their neighbours go on.
 *
 * HELD_BYTES at most. More is let go: those jobs have no end yet and stay unacknowledged, their
 * batches stay in the journal, and who takes them up again finds both. So it is with what a topic
 * does not take any more when it takes records again: its new limit is for who makes it anew.
 */
#include "worker/settle_slice.h"

int settle_takes(const struct settle *s, const char *team, struct takes *ret_max,
                 struct err *err)
{
    char topic[QUEUE_NAME_MAX];
    topic_results(team, topic);
    int rc = queue_takes(s->conf.queue, topic, &ret_max->result, err);
    if (rc > 0) {
        topic_dead(team, topic);
        rc = queue_takes(s->conf.queue, topic, &ret_max->dead, err);
    }
    return rc;
}

static void append(struct settle *s, struct part *part)
{
    struct part **at = &s->held;
    while (*at) {
        at = &(*at)->next;
    }
    part->next = NULL;
    part->slice = NULL;
    *at = part;
    s->held_bytes += part->bytes;
}

static void tell(struct settle *s, const char *team, const struct err *why, bool gone)
{
    s->wary = true;
    s->conf.on_refused(s->conf.ctx, team, why, gone);
}

static void let_go(struct settle *s, struct part *part, const struct err *why)
{
    for (const struct done *d = part->done.first; d; d = d->next) {
        s->let_go[d->call->lane]++;
    }
    tell(s, part->team, why, true);
    settle_part_free(part);
}

void settle_hold(struct settle *s, struct part *part, const struct err *why)
{
    tell(s, part->team, why, false);
    if (s->held_bytes + part->bytes > HELD_BYTES) {
        let_go(s, part, why);
        return;
    }
    append(s, part);
}

int settle_held_for(struct settle *s, const struct ending *e, size_t bytes,
                    const struct err *why, struct part **ret)
{
    const char *team = e->release->team;
    struct part *part = s->held;
    bool room = s->held_bytes + bytes <= HELD_BYTES;
    tell(s, team, why, !room);
    *ret = NULL;
    if (!room) {
        if (e->done) {
            s->let_go[e->done->call->lane]++;
        }
        return 0;
    }
    while (part && (strcmp(part->team, team) != 0 || part->bytes + bytes > SLICE_BYTES ||
                    queue_tx_full(part->tx, bytes))) {
        part = part->next;
    }
    if (!part) {
        part = settle_part_new(s, team);
        if (!part) {
            return -1;
        }
        append(s, part);
    }
    *ret = part;
    return 0;
}

void settle_held_added(struct settle *s, struct part *part, size_t bytes)
{
    part->bytes += bytes;
    s->held_bytes += bytes;
}

/* Is it time for it? Its topics are asked for; what they would not take is let go. */
static bool may_go(struct settle *s, struct part *part, struct err *why, bool *ret_never)
{
    struct takes max = {0};
    bool takes = settle_takes(s, part->team, &max, why) > 0;
    *ret_never = takes &&
                 (part->largest.result > max.result || part->largest.dead > max.dead);
    return takes && !*ret_never && s->waiting_n < HELD_AGAIN;
}

void settle_again(struct settle *s)
{
    for (struct part **at = &s->held; *at && !s->failed;) {
        struct err why = {0};
        struct part *part = *at;
        bool never;
        bool go = may_go(s, part, &why, &never);
        if (!go && !never) {
            at = &part->next;
            continue;
        }
        *at = part->next;
        s->held_bytes -= part->bytes;
        if (go && settle_slice_again(s, part) == 0) {
            continue;
        }
        let_go(s, part, NULL);
    }
}

bool settle_holds(const struct settle *s, const char *team)
{
    const struct part *part = s->held;
    while (part && strcmp(part->team, team) != 0) {
        part = part->next;
    }
    return part != NULL;
}

uint32_t settle_held(const struct settle *s, enum lane lane)
{
    uint32_t n = s->let_go[lane];
    for (const struct part *part = s->held; part; part = part->next) {
        for (const struct done *d = part->done.first; d; d = d->next) {
            n += d->call->lane == lane;
        }
    }
    return n;
}

bool settle_refuses(struct settle *s, const struct call *c)
{
    struct err why = {0};
    struct release r;
    struct span line;
    struct takes max;
    if (!s->wary || settle_fetch(s, c->jobs->at, &r, &line) < 0 ||
        settle_takes(s, r.team, &max, &why) >= 0) {
        return false;
    }
    tell(s, r.team, &why, false);
    return true;
}
