#include "tests/sim/answer.h"

#include <string.h>

/* Exact in seven decimals and in a float of 32 bits. */
static double number_of(const unsigned char *digest, int32_t i)
{
    return digest[i % ASK_DIGEST_BYTES] / 128.0 - 1;
}

static void write_numbers(struct text *out, const unsigned char *digest, int32_t n)
{
    text_char(out, '[');
    for (int32_t i = 0; i < n; i++) {
        text_fmt(out, "%s%.7g", i ? "," : "", number_of(digest, i));
    }
    text_char(out, ']');
}

/* The numbers as little-endian floats of 32 bits, three bytes to four characters. */
static void write_base64(struct text *out, const unsigned char *digest, int32_t n)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    int have = 0;
    size_t put = 0;
    text_char(out, '"');
    for (int32_t i = 0; i < n; i++) {
        float number = (float)number_of(digest, i);
        uint32_t raw;
        memcpy(&raw, &number, sizeof raw);
        for (int byte = 0; byte < 4; byte++) {
            bits = bits << 8 | (raw >> 8 * byte & 255);
            for (have += 8; have >= 6; have -= 6, put++) {
                text_char(out, alphabet[bits >> (have - 6) & 63]);
            }
        }
    }
    if (have) {
        text_char(out, alphabet[bits << (6 - have) & 63]);
        put++;
    }
    text_fmt(out, "%.*s\"", (int)(-put % 4), "===");
}

void answer_embedding(struct text *out, const struct answer_task *t, struct usage *u)
{
    const struct ask_facts *ask = t->ask;
    text_put(out, "{\"object\":\"list\",\"data\":[");
    for (uint32_t i = 0; i < ask->n_inputs; i++) {
        const unsigned char *digest = t->digests + (size_t)i * ASK_DIGEST_BYTES;
        text_fmt(out,
                 "%s{\"object\":\"embedding\",\"index\":%u,\"embedding\":", i ? "," : "",
                 i);
        if (ask->base64) {
            write_base64(out, digest, ask->dimensions);
        } else {
            write_numbers(out, digest, ask->dimensions);
        }
        text_char(out, '}');
    }
    text_fmt(out,
             "],\"model\":\"%s\",\"usage\":", price_reply_model(price_row(ask->row)));
    if (t->style.no_usage) {
        text_put(out, "null}");
        return;
    }
    text_fmt(out, "{\"prompt_tokens\":%lld,\"total_tokens\":%lld}}", (long long)u->prompt,
             (long long)u->prompt);
}
