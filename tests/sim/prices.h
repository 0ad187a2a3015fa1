/*
 * The simulator's own price table: OpenAI's list prices as of November 2026.
 *
 * It was typed in from the vendor's price pages by hand and is nobody else's source, so that
 * an invoice computed from it can disagree with what the product believes.
 * Unit: pico-dollars per token, which is the same number as micro-dollars per million tokens.
 * Batch and flex cost half of every class; an embedding costs its input only. A prompt of
 * `long_from` tokens or more is priced wholly at the long rates.
 */
#ifndef SIM_PRICES_H
#define SIM_PRICES_H

#include <stdbool.h>
#include <stdint.h>

struct rates {
    int64_t input;
    int64_t cached;
    int64_t write; /* 0: writing to the prompt cache costs nothing and is not reported */
    int64_t output;
};

struct price_row {
    const char *id;
    const char *snapshot; /* NULL: the vendor's dated id is not known */
    bool reasoning;       /* refuses max_tokens, reports reasoning tokens */
    bool fixed_sampling;  /* refuses any temperature but 1 */
    int64_t context_tokens;
    int64_t output_tokens_max;
    struct rates usual;
    int64_t long_from; /* 0: one price for all lengths */
    struct rates longer;
    int32_t dimensions; /* of the vectors it makes; 0: it writes text */
    bool fixed_dimensions;
};

/* Tokens of one answer as the vendor reports them: prompt holds cached and written, completion
 * holds reasoning. */
struct usage {
    int64_t prompt;
    int64_t cached;
    int64_t written;
    int64_t completion;
    int64_t reasoning;
};

/* The row of a model id, an alias or a dated snapshot; -1 when there is none. */
int price_find(const char *model);
const struct price_row *price_row(int index);
int price_count(void);

/* The `model` of a reply. */
const char *price_reply_model(const struct price_row *row);

/* What one answer costs, in pico-dollars. */
int64_t price_of(const struct price_row *row, const struct usage *usage, bool half_price);

#endif
