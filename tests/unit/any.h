/*
 * any.h - values drawn at random, the same on every run, for tests of pairs that write and read.
 * Include it behind cmocka.h.
 */
#ifndef OFFPEAK_TESTS_UNIT_ANY_H
#define OFFPEAK_TESTS_UNIT_ANY_H

#include "core/prices.h"
#include "core/record.h"

/* xorshift64*. */
static inline uint64_t next_number(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1dULL;
}

/* Small, large and in between. */
static inline uint64_t any_u64(uint64_t *seed)
{
    uint64_t bits = next_number(seed);
    return next_number(seed) >> (bits % 64);
}

static inline int64_t any_i64(uint64_t *seed)
{
    return (int64_t)any_u64(seed);
}

static inline bool any_bool(uint64_t *seed)
{
    return next_number(seed) >> 63;
}

static inline struct usd any_usd(uint64_t *seed)
{
    return usd_from_pico((int64_t)(any_u64(seed) >> 1));
}

static inline void any_text(uint64_t *seed, const char *alphabet, size_t n_max, char *ret)
{
    size_t n = next_number(seed) % (n_max + 1);
    for (size_t i = 0; i < n; i++) {
        ret[i] = alphabet[next_number(seed) % strlen(alphabet)];
    }
    ret[n] = '\0';
}

#define NAME_CHARS "abcxyz0189-"
#define RUN_CHARS  "abcXYZ0189._-"
#define WILD_CHARS "aZ 09\"\\/\n\t\x01'{}[],:\xc3"

static inline void any_name(uint64_t *seed, char *ret)
{
    do {
        any_text(seed, NAME_CHARS, TEAM_MAX, ret);
    } while (!ret[0]);
}

/* Numbers compare as 64-bit, which cmocka's integers are. */
#define same_number(a, b) assert_true((a) == (b))
#define same_usd(a, b)    assert_int_equal(usd_cmp(a, b), 0)

static inline void same_usage(const struct usage *a, const struct usage *b)
{
    same_number(a->input, b->input);
    same_number(a->cache_read, b->cache_read);
    same_number(a->cache_write, b->cache_write);
    same_number(a->output, b->output);
    same_number(a->reasoning, b->reasoning);
}

static inline struct usage any_usage(uint64_t *seed)
{
    return (struct usage){any_u64(seed), any_u64(seed), any_u64(seed), any_u64(seed),
                          any_u64(seed)};
}

#endif
