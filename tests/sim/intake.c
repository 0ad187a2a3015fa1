#include "tests/sim/intake.h"

#include "tests/sim/json_in.h"
#include "tests/sim/line_reader.h"
#include "tests/sim/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEN_CAP = 1 << 17 }; /* hashes of custom ids, at most half full */

struct intake {
    struct line_reader *input;
    struct plan *plan;
    const struct batch *batch;
    enum ask_kind kind;
    int64_t max_lines;
    int64_t lines;
    int64_t inputs; /* of embeddings */
    int64_t tokens;
    const struct price_row *model;
    char *model_name; /* of the first line */
    struct batch_errors errors;
    struct ask ask; /* reused */
    struct text body;
    uint64_t seen[SEEN_CAP];
};

struct intake *intake_create(int input_fd, struct plan *plan, const struct batch *batch,
                             int64_t max_lines)
{
    struct intake *in = must_calloc(1, sizeof *in);
    in->input = line_reader_create(input_fd);
    in->plan = plan;
    in->batch = batch;
    (void)ask_kind_find(batch->endpoint, &in->kind); /* looked at when it was made */
    in->max_lines = max_lines;
    return in;
}

struct intake *intake_destroy(struct intake *in)
{
    if (in) {
        line_reader_destroy(in->input);
        ask_done(&in->ask);
        text_done(&in->body);
        free(in->model_name);
        free(in);
    }
    return NULL;
}

static int refuse_file(struct intake *in, const char *code, const char *message)
{
    batch_errors_add(&in->errors, in->lines, code, message);
    return -1;
}

static bool was_seen(struct intake *in, const json_t *custom_id)
{
    uint64_t hash =
        mix_bytes(1, json_string_value(custom_id), json_string_length(custom_id));
    hash |= !hash; /* 0 marks a free place */
    size_t i = hash & (SEEN_CAP - 1);
    while (in->seen[i] && in->seen[i] != hash) {
        i = (i + 1) & (SEEN_CAP - 1);
    }
    bool seen = in->seen[i] == hash;
    in->seen[i] = hash;
    return seen;
}

static int check_model(struct intake *in, const json_t *body)
{
    const char *name = json_string_value(json_object_get(body, "model"));
    if (!name) {
        return 0; /* the line is refused, the file is not */
    }
    if (!in->model_name) {
        in->model_name = must_strdup(name);
    }
    if (strcmp(in->model_name, name) != 0) {
        return refuse_file(
            in, "model_mismatch",
            "The provided model does not match the other lines: all requests "
            "in a batch must use the same model.");
    }
    return 0;
}

static int check_envelope(struct intake *in, const json_t *line)
{
    const json_t *custom_id = json_object_get(line, "custom_id");
    const char *method = json_string_value(json_object_get(line, "method"));
    const char *url = json_string_value(json_object_get(line, "url"));
    const json_t *body = json_object_get(line, "body");
    if (!json_is_string(custom_id)) {
        return refuse_file(in, "missing_required_parameter",
                           "Missing required parameter: 'custom_id'.");
    }
    if (was_seen(in, custom_id)) {
        return refuse_file(
            in, "duplicate_custom_id",
            "The custom_id of this request is a duplicate of another request. "
            "It must be unique in a batch.");
    }
    if (!method || strcmp(method, "POST") != 0) {
        return refuse_file(in, "invalid_method", "The method of a request must be POST.");
    }
    if (!url || strcmp(url, in->batch->endpoint) != 0) {
        return refuse_file(
            in, "url_mismatch",
            "The URL of this request does not match the endpoint of the batch.");
    }
    if (!json_is_object(body)) {
        return refuse_file(in, "missing_required_parameter",
                           "Missing required parameter: 'body'.");
    }
    if (json_is_true(json_object_get(body, "stream"))) {
        return refuse_file(in, "invalid_request",
                           "Streaming is not supported in a batch.");
    }
    return check_model(in, body);
}

static void add_to_plan(struct intake *in, const json_t *line, bool rounded)
{
    const json_t *custom_id = json_object_get(line, "custom_id");
    struct plan_line planned = {
        .custom_id = json_string_value(custom_id),
        .custom_id_len = (uint32_t)json_string_length(custom_id),
    };
    struct problem p;
    int rc = rounded ? problem_set(&p, 400, NULL, "invalid_value",
                                   "A number of the request is out of range.")
                     : ask_read(&in->ask, in->kind, json_object_get(line, "body"),
                                in->batch->project, &p);
    if (rc < 0) {
        text_clear(&in->body);
        problem_write(&p, &in->body);
        planned.status = p.status;
        planned.body = in->body.data;
        planned.body_len = (uint32_t)in->body.len;
    } else {
        planned.facts = in->ask.facts;
        planned.steps = in->ask.steps;
        planned.digests = in->ask.digests;
        in->inputs += in->ask.facts.n_inputs;
        in->tokens += in->ask.facts.prompt_tokens;
        in->model = price_row(in->ask.facts.row);
    }
    if (in->inputs > in->max_lines) {
        in->inputs = 0;
        refuse_file(in, "too_many_inputs",
                    "The batch has more embedding inputs than the limit of 50,000.");
    }
    if (plan_add(in->plan, &planned) < 0) {
        refuse_file(in, "server_error", "The server could not process the file.");
    }
}

static void take_line(struct intake *in, const char *bytes, size_t n)
{
    bool rounded;
    json_t *line = json_in(bytes, n, &rounded);
    in->lines++;
    if (!json_is_object(line)) {
        refuse_file(in, "invalid_json_line", "This line is not parseable as valid JSON.");
    } else if (check_envelope(in, line) == 0) {
        add_to_plan(in, line, rounded);
    }
    json_decref(line);
}

int intake_step(struct intake *in, int n)
{
    const char *line;
    size_t length;
    for (int i = 0; i < n; i++) {
        int rc = line_reader_next(in->input, &line, &length);
        if (rc < 0) {
            in->lines++;
            refuse_file(in, "invalid_json_line", "This line is too long.");
        }
        if (rc <= 0 || in->errors.n == BATCH_ERRORS_MAX) {
            return 0;
        }
        if (in->lines == in->max_lines) {
            in->lines = 0;
            refuse_file(in, "too_many_tasks",
                        "The batch has more requests than the limit of 50,000.");
            return 0;
        }
        take_line(in, line, length);
    }
    return 1;
}

const struct batch_errors *intake_errors(const struct intake *in)
{
    return &in->errors;
}

int64_t intake_lines(const struct intake *in)
{
    return in->lines;
}

int64_t intake_tokens(const struct intake *in)
{
    return in->tokens;
}

const struct price_row *intake_model(const struct intake *in)
{
    return in->model;
}
