#include "tests/sim/api.h"
#include "tests/sim/ask.h"
#include "tests/sim/json_in.h"

#include <stdlib.h>
#include <string.h>

enum {
    LIST_MAX = 100,
    LIST_USUAL = 20,
    PAIRS_MAX = 16,
    PAIR_KEY_MAX = 64,
    PAIR_VALUE_MAX = 512,
    OUTPUT_LIFE_MIN_S = 3600,
    OUTPUT_LIFE_MAX_S = 2592000, /* also the usual: 30 days */
};

/* A required string; -1 with *p. */
static int need_string(const json_t *body, const char *name, const char **ret_value,
                       struct problem *p)
{
    const json_t *v = json_object_get(body, name);
    if (!v || json_is_null(v)) {
        return problem_set(p, 400, name, "missing_required_parameter",
                           "Missing required parameter: '%s'.", name);
    }
    if (!json_is_string(v)) {
        return problem_set(p, 400, name, "invalid_type",
                           "Invalid type for '%s': expected a string.", name);
    }
    *ret_value = json_string_value(v);
    return 0;
}

static int check_endpoint(const char *endpoint, struct problem *p)
{
    static const char *const known[] = {
        "/v1/responses",    "/v1/chat/completions", "/v1/embeddings",
        "/v1/completions",  "/v1/moderations",      "/v1/images/generations",
        "/v1/images/edits", "/v1/videos",
    };
    enum ask_kind kind;
    bool is_known = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        is_known = is_known || !strcmp(endpoint, known[i]);
    }
    if (is_known) {
        return ask_kind_find(endpoint, &kind) == 0
                   ? 0
                   : problem_set(p, 400, "endpoint", "invalid_value",
                                 "This server does not answer '%s'.", endpoint);
    }
    return problem_set(
        p, 400, "endpoint", "invalid_value",
        "Invalid value: '%.60s'. Supported values are: '/v1/chat/completions', "
        "'/v1/responses', '/v1/embeddings', '/v1/completions', "
        "'/v1/moderations', '/v1/images/generations', '/v1/images/edits', and "
        "'/v1/videos'.",
        endpoint);
}

static int check_metadata(const json_t *metadata, struct problem *p)
{
    if (!metadata || json_is_null(metadata)) {
        return 0;
    }
    if (!json_is_object(metadata) || json_object_size(metadata) > PAIRS_MAX) {
        return problem_set(
            p, 400, "metadata", "invalid_value",
            "Invalid 'metadata': expected an object with at most %d pairs.", PAIRS_MAX);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)metadata, key, value)
    {
        if (strlen(key) > PAIR_KEY_MAX || !json_is_string(value) ||
            json_string_length(value) > PAIR_VALUE_MAX) {
            return problem_set(
                p, 400, "metadata", "invalid_value",
                "Invalid 'metadata.%.64s': keys have at most %d characters, "
                "values are strings of at most %d.",
                key, PAIR_KEY_MAX, PAIR_VALUE_MAX);
        }
    }
    return 0;
}

static int check_output_life(const json_t *rule, int64_t *ret_seconds, struct problem *p)
{
    *ret_seconds = OUTPUT_LIFE_MAX_S;
    if (!rule || json_is_null(rule)) {
        return 0;
    }
    const char *anchor = json_string_value(json_object_get(rule, "anchor"));
    int64_t seconds = json_integer_value(json_object_get(rule, "seconds"));
    if (!anchor || strcmp(anchor, "created_at") != 0 || seconds < OUTPUT_LIFE_MIN_S ||
        seconds > OUTPUT_LIFE_MAX_S) {
        return problem_set(
            p, 400, "output_expires_after", "invalid_value",
            "Invalid 'output_expires_after': anchor must be 'created_at' and "
            "seconds from 3600 to 2592000.");
    }
    *ret_seconds = seconds;
    return 0;
}

static int check_input(const struct request *r, const char *id, struct problem *p)
{
    char purpose[PURPOSE_MAX];
    if (file_store_purpose(r->sim->files, r->project, id, sim_now_s(r->sim), purpose, p) <
        0) {
        return problem_set(p, 400, "input_file_id", "invalid_value",
                           "No such File object: %.60s", id);
    }
    if (strcmp(purpose, "batch") != 0) {
        return problem_set(
            p, 400, "input_file_id", "invalid_value",
            "The file '%.60s' has purpose '%s'; a batch needs one with purpose "
            "'batch'.",
            id, purpose);
    }
    return 0;
}

/* Fills the new batch from the request; -1 with *p. */
static int read_order(const struct request *r, const json_t *body, struct batch *b,
                      struct problem *p)
{
    const char *input = "";
    const char *endpoint = "";
    const char *window = "";
    const json_t *metadata = json_object_get(body, "metadata");
    if (need_string(body, "input_file_id", &input, p) < 0 ||
        need_string(body, "endpoint", &endpoint, p) < 0 ||
        need_string(body, "completion_window", &window, p) < 0 ||
        check_endpoint(endpoint, p) < 0) {
        return -1;
    }
    if (strcmp(window, "24h") != 0) {
        return problem_set(p, 400, "completion_window", "invalid_value",
                           "Invalid value: '%.20s'. Value must be '24h'.", window);
    }
    if (check_metadata(metadata, p) < 0 || check_input(r, input, p) < 0 ||
        check_output_life(json_object_get(body, "output_expires_after"),
                          &b->output_expires_s, p) < 0) {
        return -1;
    }
    copy_string(b->project, sizeof b->project, r->project);
    copy_string(b->endpoint, sizeof b->endpoint, endpoint);
    copy_string(b->input_file_id, sizeof b->input_file_id, input);
    if (json_is_object(metadata)) {
        b->metadata = json_dumps(metadata, JSON_COMPACT);
    }
    return 0;
}

static void stamp(const struct request *r, struct batch *b)
{
    int64_t now = clock_sim_us(&r->sim->clock);
    bool lags = r->fault.what == DO_LIST_LAG;
    double lag_s = lags ? r->fault.seconds : r->sim->options.list_lag_s;
    b->at_us[BATCH_VALIDATING] = now;
    b->expires_us = now + (int64_t)BATCH_WINDOW_S * US_PER_S;
    b->hidden_until =
        lag_s > 0 ? (now + (int64_t)(lag_s * US_PER_S) + US_PER_S - 1) / US_PER_S : 0;
    b->fault = faults_match(r->sim->faults, OP_BATCH);
}

void api_batches_create(struct request *r, struct reply *reply)
{
    struct problem p;
    bool rounded;
    json_t *body = json_in(r->body.data, r->body.len, &rounded);
    struct batch *b = must_calloc(1, sizeof *b);
    int rc = json_is_object(body)
                 ? read_order(r, body, b, &p)
                 : problem_set(&p, 400, NULL, NULL,
                               "We could not parse the JSON body of your request.");
    json_decref(body);
    if (rc < 0) {
        free(b->metadata);
        free(b);
        reply_fail(reply, &p);
        return;
    }
    stamp(r, b);
    stats_count(&r->sim->stats, OP_BATCH);
    batch_list_add(r->sim->batches, b, &reply->body);
}

void api_batches_get(struct request *r, struct reply *reply)
{
    struct problem p;
    if (batch_list_show(r->sim->batches, r->project, r->id, &reply->body, &p) < 0) {
        reply_fail(reply, &p);
    }
}

void api_batches_list(struct request *r, struct reply *reply)
{
    struct problem p;
    struct batch_page page = {
        .project = r->project,
        .after = request_query(r, "after"),
        .limit = request_limit(r, LIST_MAX, LIST_USUAL, reply),
        .visible_since = request_visible_since(r),
        .now = sim_now_s(r->sim),
    };
    if (page.limit >= 0 &&
        batch_list_page(r->sim->batches, &page, &reply->body, &p) < 0) {
        reply_fail(reply, &p);
    }
}

void api_batches_cancel(struct request *r, struct reply *reply)
{
    struct problem p;
    if (batch_list_cancel(r->sim->batches, r->project, r->id,
                          clock_sim_us(&r->sim->clock), &reply->body, &p) < 0) {
        reply_fail(reply, &p);
    }
}
