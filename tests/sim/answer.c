#include "tests/sim/answer.h"

#include <string.h>

enum {
    WORDS_MIN = 6,
    WORDS_SPREAD = 32,     /* an answer has 6 to 37 words */
    DIGEST_CHARS = 7 + 64, /* "sha256:" and the hex digits */
    DIGEST_TOKENS = 8,     /* what it is charged as: a label */
    LABEL_TOKENS = 24,     /* who allows fewer wants a label, and gets the digest alone */
    REASONING_STEP = 64,
};

struct words {
    char text[DIGEST_CHARS + (WORDS_MIN + WORDS_SPREAD) * 10];
    size_t len;
    int64_t tokens;
    bool cut;
};

/* What a text of so many bytes, the digest first, is charged. */
static int64_t tokens_of(size_t bytes)
{
    size_t words = bytes > DIGEST_CHARS ? bytes - DIGEST_CHARS : 0;
    return DIGEST_TOKENS +
           (int64_t)(words + ASK_BYTES_PER_TOKEN - 1) / ASK_BYTES_PER_TOKEN;
}

static void append(struct words *w, const char *s, size_t n)
{
    memcpy(w->text + w->len, s, n);
    w->len += n;
    w->text[w->len] = '\0';
}

static void append_digest(struct words *w, const unsigned char digest[32])
{
    static const char hex[] = "0123456789abcdef";
    append(w, "sha256:", 7);
    for (int i = 0; i < 32; i++) {
        append(w, (char[]){hex[digest[i] >> 4], hex[digest[i] & 15]}, 2);
    }
}

/* The digest, then words chosen by it, as many as fit in `room` tokens (-1: no limit). */
static struct words make_words(const unsigned char digest[32], int choice, int64_t room)
{
    static const char *const list[] = {
        "the",   "light",  "blue",  "store",  "opens", "early",  "and",   "keeps",
        "small", "useful", "goods", "near",   "every", "window", "where", "people",
        "find",  "good",   "help",  "with",   "new",   "things", "that",  "last",
        "long",  "after",  "noon",  "before", "work",  "ends",   "on",    "Friday",
    };
    struct words w = {.len = 0};
    append_digest(&w, digest);
    bool is_label = room >= 0 && room < LABEL_TOKENS;
    int n = is_label ? 0 : WORDS_MIN + digest[0] % WORDS_SPREAD;
    for (int i = 0; i < n; i++) {
        const char *word = list[(digest[1 + i % 31] + i + choice) % 32];
        size_t length = strlen(word);
        if (room >= 0 && tokens_of(w.len + 1 + length) > room) {
            w.cut = true;
            break;
        }
        append(&w, " ", 1);
        append(&w, word, length);
    }
    w.tokens = tokens_of(w.len);
    if (room >= 0 && w.tokens > room) { /* the digest alone is over the limit */
        w.tokens = room;
        w.cut = true;
    }
    return w;
}

static int64_t reasoning_tokens(const struct ask_facts *ask)
{
    if (!price_row(ask->row)->reasoning) {
        return 0;
    }
    int64_t wish = (int64_t)REASONING_STEP * (1 + ask->digest[31] % 4);
    int64_t half = ask->limit_tokens / 2;
    return ask->limit_tokens >= 0 && wish > half ? half : wish;
}

static void write_content(struct text *out, const struct words *w, bool json)
{
    if (!json) {
        text_json(out, w->text, w->len);
        return;
    }
    struct text object = {0};
    text_fmt(&object, "{\"sha256\":\"%.64s\",\"text\":\"%s\"}", w->text + 7,
             w->text + DIGEST_CHARS + (w->len > DIGEST_CHARS));
    text_json(out, object.data, object.len);
    text_done(&object);
}

static void write_choice(struct text *out, int index, const struct words *w, bool json,
                         struct answer_style style)
{
    text_fmt(out,
             "{\"index\":%d,\"message\":{\"role\":\"assistant\",\"content\":", index);
    if (style.refuse) {
        text_put(out, "null,\"refusal\":");
        text_json(out, w->text, w->len);
    } else {
        write_content(out, w, json);
        text_put(out, ",\"refusal\":null");
    }
    text_fmt(out, ",\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"%s\"}",
             style.filter ? "content_filter"
             : w->cut     ? "length"
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

void answer_write(struct text *out, const struct ask_facts *ask, struct cache_use cache,
                  struct answer_style style, struct answer_stamp stamp,
                  struct usage *ret_usage)
{
    const struct price_row *row = price_row(ask->row);
    int64_t reasoning = reasoning_tokens(ask);
    int64_t room = ask->limit_tokens < 0 ? -1 : ask->limit_tokens - reasoning;
    *ret_usage = (struct usage){
        .prompt = ask->prompt_tokens,
        .cached = cache.read_tokens,
        .written = row->usual.write ? cache.written_tokens : 0,
    };
    text_fmt(
        out,
        "{\"id\":\"chatcmpl-%016llx\",\"object\":\"chat.completion\",\"created\":%lld,"
        "\"model\":\"%s\",\"choices\":[",
        (unsigned long long)stamp.id, (long long)stamp.created, price_reply_model(row));
    for (int i = 0; i < ask->choices; i++) {
        struct words w = make_words(ask->digest, i, room);
        if (i) {
            text_char(out, ',');
        }
        write_choice(out, i, &w, ask->json_answer, style);
        ret_usage->completion += w.tokens + reasoning;
        ret_usage->reasoning += reasoning;
    }
    text_fmt(out, "],\"service_tier\":\"%s\",\"system_fingerprint\":null,\"usage\":",
             ask->flex ? "flex" : "default");
    if (style.no_usage) {
        text_put(out, "null");
    } else {
        write_usage(out, ret_usage);
    }
    text_char(out, '}');
}
