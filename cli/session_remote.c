/* A run on Kafka: scheduler and workers do the work, and this process says what it waits for when
 * nothing comes (session_int.h). */
#include "cli/crew.h"
#include "cli/gates.h"
#include "cli/session_int.h"

#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS   3000
#define FIRST_MS  1000  /* a scheduler and a worker at work are faster than that */
#define SILENT_MS 10000 /* with no word of why, and none that could be had */
/* A gate is one when the same job stands at it for so long; a limit that only the scheduler knows
 * must have had its time: it sees a new queue within 10 s. */
#define SURE_MS    2500
#define ASSUMED_MS 15000
#define TEXT_MAX   1600

struct session_remote {
    struct kafka_admin *admin;
    struct gates *gates;
    struct gates_view view;
    struct crew crew;
    int64_t next_ms; /* loop time of the next look */
    int64_t ended_ms,
        stood_ms; /* the last result came; the first job came to stand there */
    uint64_t ends, first;
    char said_crew[TEXT_MAX], said_gate[TEXT_MAX];
};

int session_remote_open(struct session *s, struct err *err)
{
    const struct kafka_conf kafka = broker_kafka(&s->cli->set->broker);
    const struct gates_conf conf = {.cli = s->cli,
                                    .queue = s->queue,
                                    .team = cli_team(s->cli),
                                    .feature = cli_feature(s->cli)};
    s->remote = calloc(1, sizeof(*s->remote));
    if (!s->remote) {
        return err_set(err, ERR_FAIL, "could not start: no memory");
    }
    int rc = gates_open(&s->remote->gates, &conf, err);
    if (rc >= 0 && kafka_admin_open(&s->remote->admin, &kafka, err) < 0) {
        rc = -(int)err->code;
    }
    return rc;
}

void session_remote_close(struct session *s)
{
    struct session_remote *r = TAKE_PTR(s->remote);
    if (r) {
        gates_close(r->gates);
        kafka_admin_destroy(r->admin);
        free(r);
    }
}

uint64_t session_remote_waiting(const struct session *s)
{
    return s->remote->view.waiting;
}

/* ---- what it waits for ---- */

static const struct gates_gate *gate_of(const struct session_remote *r)
{
    return r->view.n && r->view.gates[0].gate.closed ? &r->view.gates[0] : NULL;
}

static void explain_crew(const struct session *s, struct buf *to)
{
    const struct crew *crew = &s->remote->crew;
    if (crew_lacks(crew)) {
        crew_words(crew, to);
        buf_adds(to, " at work; start with ");
        crew_remedy(crew, &s->cli->set->broker, to);
    }
}

/* A gate that the queue stands at; or that nobody knows, when that has lasted. */
static void explain_gate(const struct session *s, int64_t now_ms, struct buf *to)
{
    const struct session_remote *r = s->remote;
    const struct gates_gate *g = gate_of(r);
    if (g) {
        buf_addf(to, "%s; %s", g->gate.why, g->gate.hint);
        cli_where(s->cli, to);
    } else if (r->view.hidden && now_ms - r->ended_ms >= SILENT_MS) {
        buf_adds(to, "no result yet; why is not for this user to see: budgets");
        buf_adds(to, r->crew.workers == CREW_UNKNOWN
                         ? ", and whether scheduler and workers are at work"
                         : "");
    }
}

/* Once, until it is something else. */
static void say_news(struct session *s, const struct buf *text,
                     char said[static TEXT_MAX])
{
    const char *now = text->n ? text->p : "";
    if (now[0] && strcmp(now, said)) {
        session_on_event(s, "waits", now);
    }
    snprintf(said, TEXT_MAX, "%s", now);
}

static void say_what_it_waits_for(struct session *s, int64_t now_ms)
{
    _cleanup_(buf_fini) struct buf crew, gate;
    buf_init(&crew, TEXT_MAX - 1);
    buf_init(&gate, TEXT_MAX - 1);
    explain_crew(s, &crew);
    explain_gate(s, now_ms, &gate);
    say_news(s, &crew, s->remote->said_crew);
    say_news(s, &gate, s->remote->said_gate);
}

/* Closed for good, as far as this process can tell, and somebody would have opened it. */
static void end_at_gate(struct session *s, int64_t now_ms)
{
    const struct session_remote *r = s->remote;
    const struct gates_gate *g = gate_of(r);
    if (!g || s->cli->opt->wait || crew_lacks(&r->crew) ||
        now_ms - r->stood_ms < (g->assumed ? ASSUMED_MS : SURE_MS)) {
        return;
    }
    s->end->gate = g->gate;
    session_end(s, SESSION_GATE, NULL);
}

/* Since when nothing came, and since when the same job waits first. */
static void note_time(struct session *s, int64_t now_ms)
{
    struct session_remote *r = s->remote;
    const struct gates_gate *g = gate_of(r);
    uint64_t ends = follow_status(s->follow)->ends, first = g ? g->first : UINT64_MAX;
    if (!r->ended_ms || ends != r->ends) {
        r->ended_ms = now_ms;
    }
    if (!r->stood_ms || first != r->first || ends != r->ends) {
        r->stood_ms = now_ms;
    }
    r->ends = ends;
    r->first = first;
}

void session_remote_look(struct session *s)
{
    struct session_remote *r = s->remote;
    int64_t now = loop_now_ms(s->loop);
    struct err aside = {0};
    if (s->over || !s->submitted || s->leave_ms || now < r->next_ms) {
        return;
    }
    if (!r->next_ms) {
        r->next_ms = now + FIRST_MS;
        return;
    }
    r->next_ms = now + LOOK_MS;
    if (crew_look(r->admin, &s->cli->set->broker, &r->crew, &aside) < 0 ||
        gates_look(r->gates, &r->view, &aside) < 0) {
        return; /* following says it, when it lasts */
    }
    note_time(s, now);
    say_what_it_waits_for(s, now);
    end_at_gate(s, now);
}
