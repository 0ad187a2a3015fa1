#include "tests/sim/answer.h"

#include "tests/sim/words.h"

static void write_message(struct text *out, const struct answer_task *t,
                          const struct words *w)
{
    text_fmt(out,
             "{\"type\":\"message\",\"id\":\"msg_%016llx\",\"status\":\"%s\",\"role\":"
             "\"assistant\",\"content\":[",
             (unsigned long long)t->stamp.id, w->cut ? "incomplete" : "completed");
    if (t->style.refuse) {
        text_put(out, "{\"type\":\"refusal\",\"refusal\":");
        text_json(out, w->text, w->len);
    } else {
        text_put(out, "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],"
                      "\"text\":");
        words_write(out, w, t->ask->json_answer);
    }
    text_put(out, "}]}");
}

static void write_output(struct text *out, const struct answer_task *t,
                         const struct words *w, int64_t reasoning)
{
    text_put(out, "\"output\":[");
    if (reasoning) {
        text_fmt(out, "{\"type\":\"reasoning\",\"id\":\"rs_%016llx\",\"summary\":[]}",
                 (unsigned long long)t->stamp.id);
    }
    if (!t->style.fail_code && !t->style.filter) {
        text_put(out, reasoning ? "," : "");
        write_message(out, t, w);
    }
    text_put(out, "],");
}

static void write_usage(struct text *out, const struct usage *u)
{
    text_fmt(
        out,
        "{\"input_tokens\":%lld,\"input_tokens_details\":{\"cached_tokens\":%lld,"
        "\"cache_write_tokens\":%lld},\"output_tokens\":%lld,"
        "\"output_tokens_details\":{\"reasoning_tokens\":%lld},\"total_tokens\":%lld}",
        (long long)u->prompt, (long long)u->cached, (long long)u->written,
        (long long)u->completion, (long long)u->reasoning,
        (long long)(u->prompt + u->completion));
}

/* How it ended: status, error, incomplete_details. */
static void write_end(struct text *out, const struct answer_style *style, bool cut)
{
    const char *why = style->filter ? "content_filter" : cut ? "max_output_tokens" : NULL;
    text_fmt(out, "\"status\":\"%s\",\"error\":",
             style->fail_code ? "failed"
             : why            ? "incomplete"
                              : "completed");
    if (style->fail_code) {
        text_put(out, "{\"code\":");
        text_json_or_null(out, style->fail_code);
        text_put(out, ",\"message\":");
        text_json_or_null(out, style->fail_message);
        text_char(out, '}');
        why = NULL;
    } else {
        text_put(out, "null");
    }
    text_put(out, ",\"incomplete_details\":");
    if (why) {
        text_fmt(out, "{\"reason\":\"%s\"},", why);
    } else {
        text_put(out, "null,");
    }
}

void answer_response(struct text *out, const struct answer_task *t, struct usage *u)
{
    const struct ask_facts *ask = t->ask;
    int64_t room = ask->limit_tokens;
    u->reasoning = words_reasoning(ask);
    struct words w = words_make(ask->digest, 0, room < 0 ? -1 : room - u->reasoning);
    u->completion = u->reasoning + (t->style.filter || t->style.fail_code ? 0 : w.tokens);
    text_fmt(out, "{\"id\":\"resp_%016llx\",\"object\":\"response\",\"created_at\":%lld,",
             (unsigned long long)t->stamp.id, (long long)t->stamp.created);
    write_end(out, &t->style, w.cut);
    write_output(out, t, &w, u->reasoning);
    text_fmt(out,
             "\"model\":\"%s\",\"instructions\":null,\"max_output_tokens\":null,"
             "\"metadata\":{},\"parallel_tool_calls\":true,\"previous_response_id\":null,"
             "\"service_tier\":\"%s\",\"temperature\":1.0,\"text\":{\"format\":"
             "{\"type\":\"text\"}},\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,"
             "\"truncation\":\"disabled\",\"usage\":",
             price_reply_model(price_row(ask->row)), ask->flex ? "flex" : "default");
    if (t->style.no_usage) {
        text_put(out, "null");
    } else {
        write_usage(out, u);
    }
    text_char(out, '}');
}
