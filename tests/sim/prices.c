#include "tests/sim/prices.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

/* clang-format off */
static const struct price_row rows[] = {
    {"gpt-4o", "gpt-4o-2024-08-06", false, false, 128000, 16384,
     {2500000, 1250000, 0, 10000000}, 0, {0}, 0, false},
    {"gpt-4o-mini", "gpt-4o-mini-2024-07-18", false, false, 128000, 16384,
     {150000, 75000, 0, 600000}, 0, {0}, 0, false},
    {"gpt-4.1", "gpt-4.1-2025-04-14", false, false, 1047576, 32768,
     {2000000, 500000, 0, 8000000}, 0, {0}, 0, false},
    {"gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", false, false, 1047576, 32768,
     {400000, 100000, 0, 1600000}, 0, {0}, 0, false},
    {"gpt-4.1-nano", "gpt-4.1-nano-2025-04-14", false, false, 1047576, 32768,
     {100000, 25000, 0, 400000}, 0, {0}, 0, false},
    {"gpt-5", "gpt-5-2025-08-07", true, true, 272000, 128000,
     {1250000, 125000, 0, 10000000}, 0, {0}, 0, false},
    {"gpt-5-mini", "gpt-5-mini-2025-08-07", true, true, 272000, 128000,
     {250000, 25000, 0, 2000000}, 0, {0}, 0, false},
    {"gpt-5-nano", "gpt-5-nano-2025-08-07", true, true, 272000, 128000,
     {50000, 5000, 0, 400000}, 0, {0}, 0, false},
    {"gpt-5.4", "gpt-5.4-2026-03-05", true, false, 1050000, 128000,
     {2500000, 250000, 0, 15000000}, 272000, {5000000, 500000, 0, 22500000}, 0, false},
    {"gpt-5.4-mini", "gpt-5.4-mini-2026-03-05", true, false, 272000, 128000,
     {750000, 75000, 0, 4500000}, 0, {0}, 0, false},
    {"gpt-5.4-nano", NULL, true, false, 272000, 128000,
     {200000, 20000, 0, 1250000}, 0, {0}, 0, false},
    {"gpt-5.5", NULL, true, false, 1050000, 128000,
     {5000000, 500000, 0, 30000000}, 272000, {10000000, 1000000, 0, 45000000}, 0, false},
    {"gpt-5.6-sol", NULL, true, false, 1050000, 128000,
     {4000000, 400000, 5000000, 20000000}, 272000, {8000000, 800000, 10000000, 30000000}, 0, false},
    {"gpt-5.6-terra", NULL, true, false, 1050000, 128000,
     {2000000, 200000, 2500000, 12000000}, 272000, {4000000, 400000, 5000000, 18000000}, 0, false},
    {"gpt-5.6-luna", NULL, true, false, 1050000, 128000,
     {200000, 20000, 250000, 1200000}, 272000, {400000, 40000, 500000, 1800000}, 0, false},
    {"gpt-6-sol", NULL, true, false, 1050000, 128000,
     {2000000, 200000, 2500000, 10000000}, 272001, {4000000, 400000, 5000000, 15000000}, 0, false},
    {"gpt-6-luna", NULL, true, false, 1050000, 128000,
     {100000, 10000, 125000, 500000}, 272001, {200000, 20000, 250000, 750000}, 0, false},
    {"gpt-6-astra", NULL, true, false, 1050000, 128000,
     {10000000, 1000000, 12500000, 50000000}, 272000, {20000000, 2000000, 25000000, 75000000}, 0, false},
    {"gpt-6.1-sol", NULL, true, false, 1050000, 128000,
     {2000000, 100000, 0, 10000000}, 0, {0}, 0, false},
    {"text-embedding-3-small", NULL, false, false, 8192, 0,
     {20000, 0, 0, 0}, 0, {0}, 1536, false},
    {"text-embedding-3-large", NULL, false, false, 8192, 0,
     {130000, 0, 0, 0}, 0, {0}, 3072, false},
    {"text-embedding-ada-002", NULL, false, false, 8192, 0,
     {100000, 0, 0, 0}, 0, {0}, 1536, true},
};
/* clang-format on */

enum { ROWS = sizeof rows / sizeof *rows };

static const struct {
    const char *alias;
    const char *id;
} aliases[] = {
    {"gpt-5.6", "gpt-5.6-sol"},
    {"gpt-4o-2024-11-20", "gpt-4o"},
};

/* -2025-04-14 */
static bool is_date_suffix(const char *s)
{
    static const char shape[] = "-dddd-dd-dd";
    size_t i = 0;
    for (; shape[i]; i++) {
        bool fits = shape[i] == 'd' ? isdigit((unsigned char)s[i]) != 0
                                    : s[i] == shape[i];
        if (!fits) {
            return false;
        }
    }
    return s[i] == '\0';
}

/* A row whose snapshot is known answers to that one only: another date is another price. */
static bool row_answers_to(const struct price_row *row, const char *model)
{
    size_t n = strlen(row->id);
    if (strncmp(model, row->id, n) != 0) {
        return false;
    }
    if (!model[n]) {
        return true;
    }
    return row->snapshot ? !strcmp(model, row->snapshot) : is_date_suffix(model + n);
}

int price_find(const char *model)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        if (!strcmp(model, aliases[i].alias)) {
            model = aliases[i].id;
        }
    }
    for (int i = 0; i < ROWS; i++) {
        if (row_answers_to(&rows[i], model)) {
            return i;
        }
    }
    return -1;
}

const struct price_row *price_row(int index)
{
    return &rows[index];
}

int price_count(void)
{
    return ROWS;
}

const char *price_reply_model(const struct price_row *row)
{
    return row->snapshot ? row->snapshot : row->id;
}

int64_t price_of(const struct price_row *row, const struct usage *usage, bool half_price)
{
    bool is_long = row->long_from && usage->prompt >= row->long_from;
    const struct rates *r = is_long ? &row->longer : &row->usual;
    int64_t fresh = usage->prompt - usage->cached - usage->written;
    int64_t cost = fresh * r->input + usage->cached * r->cached +
                   usage->written * r->write + usage->completion * r->output;
    return half_price ? cost / 2 : cost; /* every rate is even: the half is exact */
}
