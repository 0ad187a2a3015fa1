#include "tests/sim/answer.h"

#include "tests/sim/words.h"

static void write_choice(struct text *out, int index, const struct words *w, bool json,
                         const struct answer_style *style)
{
    text_fmt(out,
             "{\"index\":%d,\"message\":{\"role\":\"assistant\",\"content\":", index);
    if (style->refuse) {
        text_put(out, "null,\"refusal\":");
        text_json(out, w->text, w->len);
    } else {
        words_write(out, w, json);
        text_put(out, ",\"refusal\":null");
    }
    text_fmt(out, ",\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"%s\"}",
             style->filter ? "content_filter"
             : w->cut      ? "length"
                           : "stop");
}

static void write_usage(struct text *out, const struct usage *u)
{
    text_put(out, "{\"prompt_tokens\":");
    text_int(out, u->prompt);
    text_put(out, ",\"completion_tokens\":");
    text_int(out, u->completion);
    text_put(out, ",\"total_tokens\":");
    text_int(out, u->prompt + u->completion);
    text_put(out, ",\"prompt_tokens_details\":{\"cached_tokens\":");
    text_int(out, u->cached);
    text_put(out, ",\"cache_write_tokens\":");
    text_int(out, u->written);
    text_put(out,
             ",\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":");
    text_int(out, u->reasoning);
    text_put(out, ",\"audio_tokens\":0,\"accepted_prediction_tokens\":0,"
                  "\"rejected_prediction_tokens\":0}}");
}

void answer_chat(struct text *out, const struct answer_task *t, struct usage *u)
{
    const struct ask_facts *ask = t->ask;
    int64_t reasoning = words_reasoning(ask);
    int64_t room = ask->limit_tokens < 0 ? -1 : ask->limit_tokens - reasoning;
    text_fmt(
        out,
        "{\"id\":\"chatcmpl-%016llx\",\"object\":\"chat.completion\",\"created\":%lld,"
        "\"model\":\"%s\",\"choices\":[",
        (unsigned long long)t->stamp.id, (long long)t->stamp.created,
        price_reply_model(price_row(ask->row)));
    for (int i = 0; i < ask->choices; i++) {
        struct words w = words_make(ask->digest, i, room);
        if (i) {
            text_char(out, ',');
        }
        write_choice(out, i, &w, ask->json_answer, &t->style);
        u->completion += w.tokens + reasoning;
        u->reasoning += reasoning;
    }
    text_fmt(out, "],\"service_tier\":\"%s\",\"system_fingerprint\":null,\"usage\":",
             ask->flex ? "flex" : "default");
    if (t->style.no_usage) {
        text_put(out, "null");
    } else {
        write_usage(out, u);
    }
    text_char(out, '}');
}

void answer_write(struct text *out, const struct answer_task *t, struct usage *ret_usage)
{
    static void (*const writers[ASK_KINDS])(
        struct text * out, const struct answer_task *t, struct usage *u) = {
        [ASK_CHAT] = answer_chat,
        [ASK_RESPONSE] = answer_response,
        [ASK_EMBEDDING] = answer_embedding,
    };
    *ret_usage = (struct usage){
        .prompt = t->ask->prompt_tokens,
        .cached = t->cache.read_tokens,
        .written = price_row(t->ask->row)->usual.write ? t->cache.written_tokens : 0,
    };
    writers[t->ask->kind](out, t, ret_usage);
}
