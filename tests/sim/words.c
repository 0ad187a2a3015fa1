#include "tests/sim/words.h"

#include "tests/sim/prices.h"

#include <string.h>

enum {
    DIGEST_TOKENS = 8, /* what it is charged as: a label */
    LABEL_TOKENS = 24, /* who allows fewer wants a label, and gets the digest alone */
    REASONING_STEP = 64,
};

/* What a text of so many bytes, the digest first, is charged. */
static int64_t tokens_of(size_t bytes)
{
    size_t words = bytes > WORDS_DIGEST_CHARS ? bytes - WORDS_DIGEST_CHARS : 0;
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
struct words words_make(const unsigned char digest[32], int choice, int64_t room)
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

int64_t words_reasoning(const struct ask_facts *ask)
{
    if (!price_row(ask->row)->reasoning) {
        return 0;
    }
    int64_t wish = (int64_t)REASONING_STEP * (1 + ask->digest[31] % 4);
    int64_t half = ask->limit_tokens / 2;
    return ask->limit_tokens >= 0 && wish > half ? half : wish;
}

void words_write(struct text *out, const struct words *w, bool json)
{
    if (!json) {
        text_json(out, w->text, w->len);
        return;
    }
    struct text object = {0};
    text_fmt(&object, "{\"sha256\":\"%.64s\",\"text\":\"%s\"}", w->text + 7,
             w->text + WORDS_DIGEST_CHARS + (w->len > WORDS_DIGEST_CHARS));
    text_json(out, object.data, object.len);
    text_done(&object);
}
