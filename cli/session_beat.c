/* What the owner leaves for who watches (session_int.h). */
#include "cli/beat.h"
#include "cli/session_int.h"
#include "worker/worker.h"

#include <stdio.h>

static void add_gate(struct session *s, const char *topic, struct beat *b)
{
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    struct gate gate;
    if (topic_jobs_parse(topic, team, feature) < 0) {
        return;
    }
    scheduler_gate(s->scheduler, team, feature, &gate);
    beat_add_gate(b, team, feature, &gate, "");
}

static void add_gates(struct session *s, struct beat *b)
{
    char after[QUEUE_NAME_MAX] = "", topic[QUEUE_NAME_MAX];
    struct queue_cursor *cur = NULL;
    int rc = queue_cursor_open(s->queue, &cur, NULL);
    while (rc >= 0 && b->gates_n < BEAT_GATES_MAX &&
           queue_topics(cur, PREFIX_JOBS, after, topic, NULL) > 0) {
        memcpy(after, topic, sizeof(after));
        add_gate(s, topic, b);
    }
    queue_cursor_close(cur);
}

static void add_polls(struct session *s, int64_t now, int64_t wall, struct beat *b)
{
    struct lane_poll polls[BEAT_POLLS_MAX];
    b->polls_n = worker_polls(s->worker, polls, BEAT_POLLS_MAX);
    for (unsigned i = 0; i < b->polls_n; i++) {
        static_assert(sizeof(b->polls[i].batch) >= sizeof(polls[i].id), "it has room");
        memcpy(b->polls[i].batch, polls[i].id, sizeof(polls[i].id));
        b->polls[i].at_ms = wall + MAX_OF(polls[i].at_ms - now, (int64_t)0);
    }
}

void session_beat(struct session *s, const struct worker_status *w)
{
    int64_t now = loop_now_ms(s->loop), wall = loop_wall_ms(s->loop);
    struct beat b = {
        .started_ms = wall - (now - s->started_ms),
        .next_poll_ms = w->lane.next_poll_ms
                            ? wall + MAX_OF(w->lane.next_poll_ms - now, (int64_t)0)
                            : 0,
        .waiting = scheduler_waiting(s->scheduler),
    };
    if (w->lane.account_stop) {
        snprintf(b.account, sizeof(b.account), "%s", w->lane.account_stop);
        snprintf(b.account_hint, sizeof(b.account_hint), "%s", w->lane.account_stop_hint);
    }
    add_gates(s, &b);
    add_polls(s, now, wall, &b);
    beat_write(s->cli->data, &b); /* on a full disk there is nothing to watch */
}
