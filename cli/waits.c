#include "cli/waits.h"

#include "cli/crew.h"
#include "cli/gates.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HELD_MS   30000 /* with no job let through, and no gate that is known here */
#define SILENT_MS 10000 /* with no word of why, and none that could be had */
/* A gate is one when the same job stands at it for so long; a limit that only the scheduler knows
 * must have had its time: it sees a new queue within 10 s. */
#define SURE_MS    2500
#define ASSUMED_MS 15000
#define TEXT_MAX   1600

struct waits {
    struct waits_conf conf;
    struct kafka_admin *admin;
    struct gates *gates;
    struct gates_view view;
    struct crew crew;
    int64_t next_ms; /* of the next look; 0: none was asked for yet */
    /* When the last result came; when the first job came to stand at its gate; when the last job
     * was let through, or why not was known; when the broker was last heard. */
    int64_t ended_ms, stood_ms, passed_ms, heard_ms;
    uint64_t ends, first, passed;
    bool away; /* that was told */
    char said_crew[TEXT_MAX], said_gate[TEXT_MAX];
};

int waits_open(struct waits **ret, const struct waits_conf *conf, struct err *err)
{
    const struct kafka_conf kafka = broker_kafka(&conf->cli->set->broker);
    const struct gates_conf gates = {.cli = conf->cli,
                                     .queue = conf->queue,
                                     .team = conf->team,
                                     .feature = conf->feature};
    struct waits *w = calloc(1, sizeof(*w));
    if (!w) {
        return err_set(err, ERR_FAIL, "could not wait: no memory");
    }
    w->conf = *conf;
    int rc = gates_open(&w->gates, &gates, err);
    if (rc >= 0 && kafka_admin_open(&w->admin, &kafka, err) < 0) {
        rc = -(int)err->code;
    }
    if (rc < 0) {
        waits_close(w);
        return rc;
    }
    *ret = w;
    return 0;
}

struct waits *waits_close(struct waits *w)
{
    if (w) {
        gates_close(w->gates);
        kafka_admin_destroy(w->admin);
        free(w);
    }
    return NULL;
}

uint64_t waits_jobs(const struct waits *w)
{
    return w->view.waiting;
}

/* ---- in words ---- */

static const struct gates_gate *closed_gate(const struct waits *w)
{
    return w->view.n && w->view.gates[0].gate.closed ? &w->view.gates[0] : NULL;
}

static void explain_crew(const struct waits *w, struct buf *to)
{
    if (crew_lacks(&w->crew)) {
        crew_words(&w->crew, to);
        buf_adds(to, " at work; start with ");
        crew_remedy(&w->crew, &w->conf.cli->set->broker, to);
    }
}

/* A gate that the queue stands at; or that nobody knows, when that has lasted. */
static void explain_gate(const struct waits *w, int64_t now_ms, struct buf *to)
{
    const struct gates_gate *g = closed_gate(w);
    if (g) {
        buf_addf(to, "%s; %s", g->gate.why, g->gate.hint);
        cli_where(w->conf.cli, to);
    } else if (w->view.waiting && !w->view.n && now_ms - w->passed_ms >= HELD_MS) {
        buf_addf(to,
                 "%" PRIu64 " jobs of this queue are not let through, for a reason that "
                 "only the scheduler knows: it says so on its standard error",
                 w->view.waiting);
    } else if (w->view.hidden && now_ms - w->ended_ms >= SILENT_MS) {
        buf_adds(to, "no result yet; why is not for this user to see: budgets");
        buf_adds(to, w->crew.workers == CREW_UNKNOWN
                         ? ", and whether scheduler and workers are at work"
                         : "");
    }
}

/* Once, until it is something else. */
static void say_news(const struct waits *w, const struct buf *text,
                     char said[static TEXT_MAX])
{
    const char *now = text->n ? text->p : "";
    if (now[0] && strcmp(now, said)) {
        w->conf.say(w->conf.ctx, "waits", now);
    }
    snprintf(said, TEXT_MAX, "%s", now);
}

static void say_all(struct waits *w, int64_t now_ms)
{
    _cleanup_(buf_fini) struct buf crew, gate;
    buf_init(&crew, TEXT_MAX - 1);
    buf_init(&gate, TEXT_MAX - 1);
    explain_crew(w, &crew);
    explain_gate(w, now_ms, &gate);
    say_news(w, &crew, w->said_crew);
    say_news(w, &gate, w->said_gate);
}

/* ---- looking ---- */

const struct gate *waits_gate(const struct waits *w, int64_t now_ms)
{
    const struct gates_gate *g = closed_gate(w);
    bool sure = g && !crew_lacks(&w->crew) && w->stood_ms &&
                now_ms - w->stood_ms >= (g->assumed ? ASSUMED_MS : SURE_MS);
    return sure ? &g->gate : NULL;
}

/* Since when nothing came, and since when the same job waits first. */
static void note_time(struct waits *w, uint64_t ends, int64_t now_ms)
{
    const struct gates_gate *g = closed_gate(w);
    uint64_t first = g ? g->first : UINT64_MAX;
    if (!w->ended_ms || ends != w->ends) {
        w->ended_ms = now_ms;
    }
    if (!w->stood_ms || first != w->first || ends != w->ends) {
        w->stood_ms = now_ms;
    }
    if (!w->passed_ms || w->view.passed != w->passed || w->view.n ||
        crew_lacks(&w->crew)) {
        w->passed_ms = now_ms;
    }
    w->ends = ends;
    w->first = first;
    w->passed = w->view.passed;
}

bool waits_bears(struct waits *w, const struct err *err, int64_t now_ms)
{
    char text[TEXT_MAX];
    w->heard_ms = w->heard_ms ? w->heard_ms : now_ms;
    if (err->code != ERR_TEMP || now_ms - w->heard_ms >= WAITS_AWAY_MS) {
        return false;
    }
    if (!w->away) {
        snprintf(text, sizeof(text), "%s; asking again for %d min", err->msg,
                 WAITS_AWAY_MS / 60000);
        w->conf.say(w->conf.ctx, "waits", text);
        w->away = true;
    }
    return true;
}

void waits_look(struct waits *w, uint64_t ends, int64_t now_ms)
{
    struct err aside = {0};
    if (w->away) {
        w->conf.say(w->conf.ctx, "waits", "the broker answers again");
        w->away = false;
        w->passed_ms = now_ms;
    }
    w->heard_ms = now_ms;
    if (now_ms < w->next_ms) {
        return;
    }
    if (!w->next_ms) {
        w->next_ms = now_ms + WAITS_FIRST_MS;
        return;
    }
    w->next_ms = now_ms + WAITS_LOOK_MS;
    if (crew_look(w->admin, &w->conf.cli->set->broker, &w->crew, &aside) >= 0 &&
        gates_look(w->gates, &w->view, &aside) >= 0) {
        note_time(w, ends, now_ms);
        say_all(w, now_ms);
    }
}
