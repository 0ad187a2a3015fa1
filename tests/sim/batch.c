#include "tests/sim/batch.h"

#include "tests/sim/clock.h"

#include <string.h>

#define TO(state) (1u << BATCH_##state)

static const struct {
    const char *name;
    const char *timestamp; /* member of the object that says when it came to this state */
    unsigned next;
} states[BATCH_STATES] = {
    [BATCH_VALIDATING] = {"validating", "created_at",
                          TO(FAILED) | TO(IN_PROGRESS) | TO(CANCELLING)},
    [BATCH_FAILED] = {"failed", "failed_at", 0},
    [BATCH_IN_PROGRESS] = {"in_progress", "in_progress_at",
                           TO(FINALIZING) | TO(EXPIRED) | TO(CANCELLING)},
    [BATCH_FINALIZING] = {"finalizing", "finalizing_at", TO(COMPLETED)},
    [BATCH_COMPLETED] = {"completed", "completed_at", 0},
    [BATCH_EXPIRED] = {"expired", "expired_at", 0},
    [BATCH_CANCELLING] = {"cancelling", "cancelling_at", TO(CANCELLED)},
    [BATCH_CANCELLED] = {"cancelled", "cancelled_at", 0},
};

const char *batch_state_name(enum batch_state state)
{
    return states[state].name;
}

bool batch_is_final(enum batch_state state)
{
    return states[state].next == 0;
}

bool batch_move(struct batch *b, enum batch_state to, int64_t now_us)
{
    if (!(states[b->state].next & (1u << to))) {
        return false;
    }
    b->state = to;
    b->at_us[to] = now_us;
    return true;
}

void batch_errors_add(struct batch_errors *e, int64_t line, const char *code,
                      const char *message)
{
    if (e->n == BATCH_ERRORS_MAX) {
        return;
    }
    struct batch_error *new = &e->list[e->n++];
    copy_string(new->code, sizeof new->code, code);
    copy_string(new->message, sizeof new->message, message);
    new->line = line;
}

static void write_error(const struct batch_error *e, struct text *out)
{
    text_put(out, "{\"code\":");
    text_json(out, e->code, strlen(e->code));
    text_put(out, ",\"message\":");
    text_json(out, e->message, strlen(e->message));
    text_put(out, ",\"param\":null,\"line\":");
    if (e->line) {
        text_int(out, e->line);
    } else {
        text_put(out, "null");
    }
    text_char(out, '}');
}

static void write_errors(const struct batch_errors *e, struct text *out)
{
    if (!e->n) {
        text_put(out, "null");
        return;
    }
    text_put(out, "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < e->n; i++) {
        text_put(out, i ? "," : "");
        write_error(&e->list[i], out);
    }
    text_put(out, "]}");
}

static void write_times(const struct batch *b, struct text *out)
{
    for (int i = 0; i < BATCH_STATES; i++) {
        text_fmt(out, ",\"%s\":", states[i].timestamp);
        if (b->at_us[i]) {
            text_int(out, b->at_us[i] / US_PER_S);
        } else {
            text_put(out, "null");
        }
    }
    text_put(out, ",\"expires_at\":");
    text_int(out, b->expires_us / US_PER_S);
}

static void write_usage(const struct usage *u, struct text *out)
{
    int64_t total = u->prompt + u->completion;
    text_fmt(
        out,
        ",\"usage\":{\"input_tokens\":%lld,\"input_tokens_details\":{\"cached_tokens\":"
        "%lld},\"output_tokens\":%lld,\"output_tokens_details\":{\"reasoning_tokens\":"
        "%lld},\"total_tokens\":%lld}",
        (long long)u->prompt, (long long)u->cached, (long long)u->completion,
        (long long)u->reasoning, (long long)total);
}

void batch_write(const struct batch *b, struct text *out)
{
    text_fmt(out,
             "{\"id\":\"%s\",\"object\":\"batch\",\"endpoint\":\"%s\",\"model\":", b->id,
             b->endpoint);
    text_json_or_null(out, b->model ? price_reply_model(b->model) : NULL);
    text_put(out, ",\"errors\":");
    write_errors(&b->errors, out);
    text_fmt(out,
             ",\"input_file_id\":\"%s\",\"completion_window\":\"24h\",\"status\":\"%s\"",
             b->input_file_id, states[b->state].name);
    text_put(out, ",\"output_file_id\":");
    text_json_or_null(out, b->output_file_id);
    text_put(out, ",\"error_file_id\":");
    text_json_or_null(out, b->error_file_id);
    write_times(b, out);
    text_fmt(out,
             ",\"request_counts\":{\"total\":%lld,\"completed\":%lld,\"failed\":%lld}",
             (long long)b->total, (long long)b->completed, (long long)b->failed);
    write_usage(&b->used, out);
    text_fmt(out, ",\"metadata\":%s}", b->metadata ? b->metadata : "null");
}
