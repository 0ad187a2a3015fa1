#include "scheduler/admit.h"

#include <stdio.h>
#include <string.h>

int admit_bound(const struct ask *ask, const struct price_row *price, enum lane lane,
                struct bound *ret)
{
    const struct prompt *p = &ask->prompt;
    uint64_t output = p->has_output_limit ? p->output_limit
                                          : price_output_tokens_max(price);
    uint64_t input = prompt_tokens_bound(p);
    if (input == UINT64_MAX) {
        input = price_context_tokens(price); /* images: no more than the model can read */
    }
    if (__builtin_mul_overflow(output, p->choices, &output)) {
        return -1;
    }
    ret->input_tokens = input;
    ret->output_tokens = output;
    ret->unlimited = !p->has_output_limit;
    ret->tries = price_tries(price, lane);
    struct usd once;
    if (price_bound(price, lane, input, output, &once) < 0) {
        return -1;
    }
    return usd_mul(&ret->usd, once, ret->tries) ? 0 : -1;
}

static struct usd_sum gone(const struct line *line)
{
    struct usd_sum sum = line->row.spent;
    usd_sum_add_sum(&sum, line->row.in_doubt);
    return sum;
}

static bool fits(const struct line_view *v, struct usd need)
{
    return !v->limited || usd_fits(gone(v->line), v->line->reserved, need, v->limit);
}

static void reject(struct decision *d, const char *why)
{
    d->kind = ADMIT_REJECT;
    snprintf(d->why, sizeof(d->why), "%s", why);
}

/* How the output limit of a request is called depends on where it goes. */
static const char *output_limit_name(const struct ask *ask)
{
    bool responses = !strcmp(ask->path, prompt_paths[PROMPT_RESPONSES]);
    return responses ? "max_output_tokens" : "max_completion_tokens";
}

/* What makes a request cheaper: "state a smaller max_completion_tokens". Vectors have no
 * output to limit. */
static const char *cheaper(const struct ask *ask, char ret[static 64])
{
    snprintf(ret, 64, "%s%s",
             ask->prompt.inputs ? "shorten its input" : "state a smaller ",
             ask->prompt.inputs ? "" : output_limit_name(ask));
    return ret;
}

/* A job that would not fit even if nothing had been spent never will. */
static void reject_dearer(struct decision *d, const struct ask *ask,
                          const struct line_view *v)
{
    char need[USD_TEXT_MAX], limit[USD_TEXT_MAX], advice[64];
    usd_format(d->bound.usd, need);
    usd_format(v->limit, limit);
    cheaper(ask, advice);
    if (v->is_run) {
        d->kind = ADMIT_CANCEL;
        snprintf(d->why, sizeof(d->why),
                 "max_cost: may cost up to $%s, more than this run's whole limit of $%s: "
                 "%.40s or raise the limit",
                 need, limit, advice);
        return;
    }
    d->kind = ADMIT_REJECT;
    snprintf(d->why, sizeof(d->why),
             "may cost up to $%s, more than the whole limit of $%s for '%s' per %s: "
             "%.40s or raise the limit",
             need, limit, v->scope, period_name(v->period), advice);
}

static void reject_beyond(struct decision *d, const struct ask *ask)
{
    char advice[64];
    d->kind = ADMIT_REJECT;
    snprintf(d->why, sizeof(d->why), "could cost more than 9.2 million dollars: %s",
             cheaper(ask, advice));
}

static void cancel_max_cost(struct decision *d, const struct line_view *v)
{
    char limit[USD_TEXT_MAX];
    d->kind = ADMIT_CANCEL;
    snprintf(d->why, sizeof(d->why), "max_cost: no room left in this run's limit of $%s",
             usd_format(v->limit, limit));
}

static int64_t opens_at(enum period p, int64_t wall_ms)
{
    switch (p) {
    case PERIOD_DAY: return clock_next_day(wall_ms);
    case PERIOD_MONTH: return clock_next_month(wall_ms);
    case PERIOD_TOTAL:
    case PERIODS: break;
    }
    return 0;
}

static void wait_budget(const struct admit_in *in, struct decision *d,
                        const struct line_view *v)
{
    char need[USD_TEXT_MAX], limit[USD_TEXT_MAX], spent[USD_TEXT_MAX], held[USD_TEXT_MAX];
    struct gate *g = &d->gate;
    d->kind = ADMIT_WAIT;
    d->line = v->line;
    d->limit = v->limit;
    g->kind = GATE_BUDGET;
    g->closed = v->line->open_jobs == 0;
    g->opens_wall_ms = opens_at(v->period, in->wall_ms);
    snprintf(g->why, sizeof(g->why),
             "budget of '%s' per %s: $%s spent and $%s reserved of $%s, the next job may "
             "cost $%s%s%s (answers in store wait too)",
             v->scope, period_name(v->period), usd_sum_format(gone(v->line), spent),
             usd_sum_format(v->line->reserved, held), usd_format(v->limit, limit),
             usd_format(d->bound.usd, need),
             d->bound.unlimited ? ", for it states no " : "",
             d->bound.unlimited ? output_limit_name(in->ask) : "");
    snprintf(g->hint, sizeof(g->hint), "offpeak budget set %s --limit USD --per %s",
             v->scope, period_name(v->period));
}

static bool has_limit(const struct admit_in *in)
{
    for (unsigned i = 0; i < in->lines_n; i++) {
        if (in->lines[i].limited && !in->lines[i].is_run) {
            return true;
        }
    }
    return false;
}

/* Nobody has said yet what may be spent. */
static void wait_for_limit(const struct admit_in *in, struct decision *d)
{
    struct gate *g = &d->gate;
    d->kind = ADMIT_WAIT;
    g->kind = GATE_BUDGET;
    g->closed = true;
    snprintf(g->why, sizeof(g->why), "no limit is set for '%s/%s'", in->team,
             in->feature);
    snprintf(g->hint, sizeof(g->hint), "offpeak budget set %s --limit USD --per day",
             in->team);
}

static void wait_pause(struct decision *d, const struct budget_edit *pause)
{
    d->kind = ADMIT_WAIT;
    d->gate.kind = GATE_PAUSE;
    d->gate.closed = true;
    snprintf(d->gate.why, sizeof(d->gate.why), "'%s' is paused%s%s%s%s", pause->scope,
             pause->who[0] ? " by " : "", pause->who, pause->why[0] ? ": " : "",
             pause->why);
    snprintf(d->gate.hint, sizeof(d->gate.hint), "offpeak budget resume %s",
             pause->scope);
}

static bool is_for_another(const struct admit_in *in)
{
    return in->endpoint && in->endpoint[0] && strcmp(in->endpoint, in->origin) != 0;
}

/* Only an owner that knows the lane's terms opens this gate. */
static void wait_lane(const struct admit_in *in, struct decision *d)
{
    d->kind = ADMIT_WAIT;
    d->gate.kind = GATE_ENDPOINT;
    d->gate.closed = true;
    snprintf(d->gate.why, sizeof(d->gate.why), "run '%s' asks for lane '%s': %.300s",
             in->ask->head.run, lane_name(in->lane), in->no_lane);
    snprintf(d->gate.hint, sizeof(d->gate.hint), "%.*s", (int)sizeof(d->gate.hint) - 1,
             in->no_lane_hint);
}

/* Only an owner that works for that endpoint opens this gate. */
static void wait_endpoint(const struct admit_in *in, struct decision *d)
{
    d->kind = ADMIT_WAIT;
    d->gate.kind = GATE_ENDPOINT;
    d->gate.closed = true;
    bool pool = in->lane == LANE_POOL;
    snprintf(d->gate.why, sizeof(d->gate.why),
             "run '%s' was submitted for '%s', and the %s is '%.180s' now",
             in->ask->head.run, in->endpoint, pool ? "pool" : "base URL", in->origin);
    snprintf(d->gate.hint, sizeof(d->gate.hint),
             pool ? "--set pool.name=%s" : "OPENAI_BASE_URL=%s/... offpeak run",
             in->endpoint + (pool ? strlen(ENDPOINT_POOL) : 0));
}

static void wait_flow(struct decision *d, const char *model)
{
    d->kind = ADMIT_WAIT;
    d->gate.kind = GATE_FLOW;
    snprintf(
        d->gate.why, sizeof(d->gate.why),
        "as much work of model '%s' is in flight as flow.calls and flow.tokens allow",
        model);
}

/* The first line without room decides; true when the decision is made. */
static bool stopped_by_line(const struct admit_in *in, struct decision *d)
{
    static const struct usd_sum none = {0};
    for (unsigned i = 0; i < in->lines_n; i++) {
        const struct line_view *v = &in->lines[i];
        if (v->limited && !usd_fits(none, none, d->bound.usd, v->limit)) {
            reject_dearer(d, in->ask, v);
            return true;
        }
    }
    for (unsigned i = 0; i < in->lines_n; i++) {
        const struct line_view *v = &in->lines[i];
        if (fits(v, d->bound.usd)) {
            continue;
        }
        if (v->is_run) {
            cancel_max_cost(d, v);
        } else {
            wait_budget(in, d, v);
        }
        return true;
    }
    return false;
}

static void reject_unpriced(const struct admit_in *in, struct decision *d)
{
    d->kind = ADMIT_REJECT;
    snprintf(d->why, sizeof(d->why),
             "names model '%s', which has no row in price book %s: add one (prices.file)",
             in->ask->prompt.model, in->prices);
}

void admit(const struct admit_in *in, struct decision *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (in->ask->why[0]) {
        reject(ret, in->ask->why);
    } else if (in->cancelled) {
        ret->kind = ADMIT_CANCEL;
        snprintf(ret->why, sizeof(ret->why), "%s", CANCELLED_WHY);
    } else if (in->no_lane) {
        wait_lane(in, ret);
    } else if (is_for_another(in)) {
        wait_endpoint(in, ret);
    } else if (!in->price) {
        reject_unpriced(in, ret);
    } else if (admit_bound(in->ask, in->price, in->lane, &ret->bound) < 0) {
        reject_beyond(ret, in->ask);
    } else if (in->pause) {
        wait_pause(ret, in->pause);
    } else if (in->needs_limit && !has_limit(in)) {
        wait_for_limit(in, ret);
    } else if (stopped_by_line(in, ret)) {
        return;
    } else if (!in->flow_fits) {
        wait_flow(ret, in->ask->prompt.model);
    } else {
        ret->kind = ADMIT_RUN;
    }
}

bool admit_reopens(const struct line *line, struct usd limit, struct usd need)
{
    struct usd quarter = usd_from_pico(usd_pico(limit) / 4);
    bool room = usd_fits(gone(line), line->reserved, need, limit);
    if (line->open_jobs == 0) {
        return room;
    }
    return room && usd_fits(gone(line), line->reserved, quarter, limit);
}
