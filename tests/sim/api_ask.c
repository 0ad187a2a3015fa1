#include "tests/sim/api.h"
#include "tests/sim/json_in.h"
#include "tests/sim/serve.h"

static int read_ask(const struct request *r, enum ask_kind kind, struct ask *ask,
                    struct problem *p)
{
    bool rounded;
    json_t *body = json_in(r->body.data, r->body.len, &rounded);
    int rc;
    if (!body) {
        rc = problem_set(p, 400, NULL, NULL,
                         "We could not parse the JSON body of your request.");
    } else if (rounded) {
        rc = problem_set(p, 400, NULL, "invalid_value",
                         "A number of the request is out of range.");
    } else {
        rc = ask_read(ask, kind, body, r->project, p);
    }
    json_decref(body);
    return rc;
}

/* Takes the request from the rate limits; they are shown in the reply either way. */
static int take_rate(const struct request *r, const struct ask_facts *facts,
                     struct reply *reply, struct problem *p)
{
    int64_t tokens = facts->prompt_tokens;
    tokens += facts->limit_tokens > 0 ? facts->limit_tokens : 0;
    reply->has_rates = true;
    if (rate_limits_take(r->sim->rates, r->project, tokens, &reply->rates)) {
        return 0;
    }
    problem_set(p, 429, NULL, "rate_limit_exceeded",
                "Rate limit reached for %s in project %s on requests or tokens per min.",
                price_row(facts->row)->id, r->project);
    p->retry_after_s = 1;
    return -1;
}

static void answer(struct request *r, enum ask_kind kind, struct reply *reply)
{
    struct ask ask = {0};
    struct problem p;
    struct usage used;
    if (read_ask(r, kind, &ask, &p) < 0 || take_rate(r, &ask.facts, reply, &p) < 0) {
        reply_fail(reply, &p);
    } else {
        struct serve_what what = {&ask.facts, ask.steps, ask.digests, {.batch = false}};
        snprintf(what.to.id, sizeof what.to.id, "req_%016llx",
                 (unsigned long long)reply->request_id);
        struct serve_how how = serve_how(&r->fault, kind);
        how.started_us = clock_sim_us(&r->sim->clock);
        serve(r->sim, what, how, &reply->body, &used);
    }
    ask_done(&ask);
}

void api_chat(struct request *r, struct reply *reply)
{
    answer(r, ASK_CHAT, reply);
}

void api_responses(struct request *r, struct reply *reply)
{
    answer(r, ASK_RESPONSE, reply);
}

void api_embeddings(struct request *r, struct reply *reply)
{
    answer(r, ASK_EMBEDDING, reply);
}

void api_models_list(struct request *r, struct reply *reply)
{
    (void)r;
    text_put(&reply->body, "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < price_count(); i++) {
        text_fmt(&reply->body,
                 "%s{\"id\":\"%s\",\"object\":\"model\",\"created\":1715367049,"
                 "\"owned_by\":\"system\"}",
                 i ? "," : "", price_row(i)->id);
    }
    text_put(&reply->body, "]}");
}
