/* The head of a record in `ready`: everything admission derived, in at most 768 bytes. */
#include "core/record.h"

#include "core/fields.h"
#include "core/headers.h"

#define FRAME_BYTES 3  /* what a header costs beside its name and value */
#define LINK_BYTES  12 /* hash and length, big endian */
#define LINK_TEXT   16 /* the same in base 64 */
#define KEY_TEXT    43

_Static_assert(LINK_BYTES * 4 == LINK_TEXT * 3, "a link has no padding");
_Static_assert(offsetof(struct release, output_bound) ==
                   offsetof(struct release, input_bound) + sizeof(uint64_t),
               "header 'tokens' is a run of two");
_Static_assert(offsetof(struct release, body_len) ==
                   offsetof(struct release, id_at) + 3 * sizeof(uint32_t),
               "header 'at' is a run of four");
_Static_assert(offsetof(struct release, seen_spend) ==
                   offsetof(struct release, seen_budgets) + sizeof(uint64_t),
               "header 'seen' is a run of two");

static const char *const verdict_words[] = {
    [VERDICT_RUN] = "run",
    [VERDICT_REJECTED] = "rejected",
    [VERDICT_CANCELLED] = "cancelled",
    [VERDICT_FLUSH] = "flush",
};

/* Team and feature are read from the job id; key, chain and `why` are written by hand. Names
 * are short where values may be long: the table at its longest must fit RELEASE_BYTES_MAX. */
static const struct field release_list[] = {
    FIELD_TEXT_OF(struct release, job, "job"),
    FIELD_TEXT_OF(struct release, run, "run"),
    FIELD_OF(struct release, FIELD_U64, attempt, "try"),
    FIELD_OF(struct release, FIELD_U64, line, "line"),
    FIELD_WORD_OF(struct release, lane, lane_words, "lane"),
    FIELD_TEXT_OF(struct release, model, "model"),
    FIELD_OF(struct release, FIELD_USD, reserved, "pico"),
    FIELD_OF(struct release, FIELD_U32, tries, "tries"),
    FIELD_RUN_OF(struct release, FIELD_U64, input_bound, 2, "tokens"),
    FIELD_OF(struct release, FIELD_U32, inputs, "vectors"),
    FIELD_OF(struct release, FIELD_BOOL, unlimited, "max"),
    FIELD_TEXT_OF(struct release, prices, "book"),
    FIELD_TEXT_OF(struct release, day, "day"),
    FIELD_IF(struct release, FIELD_I64, fresh_ms, fresh, "fresh"),
    FIELD_OF(struct release, FIELD_BOOL, reusable, "reuse"),
    FIELD_RUN_OF(struct release, FIELD_U32, id_at, 4, "at"),
    FIELD_TEXT_OF(struct release, path, "path"),
    FIELD_RUN_OF(struct release, FIELD_U64, seen_budgets, 2, "seen"),
};
static const struct fields release_fields = FIELDS("release", release_list);

/* Not the run verdict, which is what nearly every record has and goes without saying. */
static const struct field verdict_list[] = {
    FIELD_WORD_OF(struct release, verdict, verdict_words, "verdict"),
    FIELD_TEXT_OF(struct release, why, "why"),
};
static const struct fields verdict_fields = FIELDS("release", verdict_list);

/* ---- base 64 (URL alphabet, no padding): short, and readable in `offpeak cat` ---- */

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t base64_encode(const uint8_t *p, size_t n, char *ret)
{
    size_t out = 0;
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | p[i];
        for (have += 8; have >= 6; have -= 6) {
            ret[out++] = alphabet[bits >> (have - 6) & 63];
        }
    }
    if (have) {
        ret[out++] = alphabet[bits << (6 - have) & 63];
    }
    return out;
}

/* Exactly `n` bytes, or -1. */
static int base64_decode(struct span text, uint8_t *ret, size_t n)
{
    size_t out = 0;
    uint32_t bits = 0;
    unsigned have = 0;
    if (text.n != (n * 8 + 5) / 6) {
        return -1;
    }
    for (size_t i = 0; i < text.n; i++) {
        const char *at = text.p[i] ? strchr(alphabet, text.p[i]) : NULL;
        if (!at) {
            return -1;
        }
        bits = bits << 6 | (uint32_t)(at - alphabet);
        have += 6;
        if (have >= 8) {
            have -= 8;
            ret[out++] = (uint8_t)(bits >> have);
        }
    }
    return bits & ((1U << have) - 1) ? -1 : 0; /* one spelling per value */
}

/* ---- key and chain ---- */

static bool key_is_set(const struct digest *key)
{
    static const struct digest none;
    return memcmp(key, &none, sizeof(none)) != 0;
}

static int encode_key(const struct digest *key, struct buf *block)
{
    char text[KEY_TEXT];
    if (!key_is_set(key)) {
        return 0;
    }
    size_t n = base64_encode(key->b, sizeof(key->b), text);
    return headers_add(block, "key", span_of(text, n));
}

static void link_pack(const struct prompt_link *link, uint8_t ret[static LINK_BYTES])
{
    for (unsigned i = 0; i < 8; i++) {
        ret[i] = (uint8_t)(link->hash >> (56 - 8 * i));
    }
    for (unsigned i = 0; i < 4; i++) {
        ret[8 + i] = (uint8_t)(link->bytes >> (24 - 8 * i));
    }
}

static void link_unpack(const uint8_t raw[static LINK_BYTES], struct prompt_link *ret)
{
    ret->hash = 0;
    ret->bytes = 0;
    for (unsigned i = 0; i < 8; i++) {
        ret->hash = ret->hash << 8 | raw[i];
    }
    for (unsigned i = 0; i < 4; i++) {
        ret->bytes = ret->bytes << 8 | raw[8 + i];
    }
}

/* Bytes a header with that name may still have as its value. */
static size_t room(const struct buf *block, size_t start, size_t name_n)
{
    size_t used = block->n - start + FRAME_BYTES + name_n;
    return used < RELEASE_BYTES_MAX ? RELEASE_BYTES_MAX - used : 0;
}

/* Later links are hints to the planner: the ones that do not fit are left out. */
static int encode_chain(const struct release *r, size_t links_max, struct buf *block)
{
    char text[PROMPT_CHAIN_MAX * LINK_TEXT];
    uint8_t raw[LINK_BYTES];
    size_t links = MIN_OF(MIN_OF(r->chain_len, (size_t)PROMPT_CHAIN_MAX), links_max);
    for (size_t i = 0; i < links; i++) {
        link_pack(&r->chain[i], raw);
        base64_encode(raw, sizeof(raw), text + i * LINK_TEXT);
    }
    return links ? headers_add(block, "chain", span_of(text, links * LINK_TEXT)) : 0;
}

static int decode_chain(struct span text, struct release *ret)
{
    uint8_t raw[LINK_BYTES];
    if (text.n == 0 || text.n % LINK_TEXT || text.n / LINK_TEXT > PROMPT_CHAIN_MAX) {
        return -1;
    }
    ret->chain_len = (unsigned)(text.n / LINK_TEXT);
    for (unsigned i = 0; i < ret->chain_len; i++) {
        if (base64_decode(span_of(text.p + i * LINK_TEXT, LINK_TEXT), raw, sizeof(raw)) <
            0) {
            return -1;
        }
        link_unpack(raw, &ret->chain[i]);
    }
    return 0;
}

/* ---- the whole head ---- */

/* `why` cut to what fits, at the start of a character. */
static int encode_why(const struct release *r, size_t start, struct buf *block)
{
    size_t n = MIN_OF(strlen(r->why), room(block, start, strlen("why")));
    while (n && ((unsigned char)r->why[n] & 0xc0) == 0x80) {
        n--;
    }
    return n ? headers_add(block, "why", span_of(r->why, n)) : 0;
}

static int encode_verdict(const struct release *r, size_t start, struct buf *block)
{
    if (r->verdict == VERDICT_RUN) {
        return 0;
    }
    return headers_adds(block, "verdict", verdict_words[r->verdict]) < 0
               ? -1
               : encode_why(r, start, block);
}

/* A flush is no job and may have no id; any other id must name its own queue. */
static bool names_its_queue(const struct release *r)
{
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    if (r->verdict == VERDICT_FLUSH && r->job[0] == '\0') {
        return true;
    }
    return job_id_parse(span_str(r->job), team, feature) == 0 &&
           strcmp(team, r->team) == 0 && strcmp(feature, r->feature) == 0;
}

int release_encode(const struct release *r, struct buf *block, struct err *err)
{
    size_t start = block->n;
    if (!names_its_queue(r)) {
        return err_set(err, ERR_FAIL, "could not release job '%s' of queue '%s.%s': %s",
                       r->job, r->team, r->feature, "its id does not name that queue");
    }
    struct release head = *r;
    head.tries = r->tries > 1 ? r->tries : 0; /* one goes without saying */
    int rc = fields_to_headers(&release_fields, &head, block);
    rc = rc < 0 ? rc : encode_key(&r->key, block);
    rc = rc < 0 ? rc
                : encode_chain(r, room(block, start, strlen("chain")) / LINK_TEXT, block);
    rc = rc < 0 ? rc : encode_verdict(r, start, block);
    if (rc < 0 || block->n - start > RELEASE_BYTES_MAX) {
        return err_set(err, ERR_FAIL,
                       "could not release job '%s': its head needs %zu bytes, "
                       "%d at most",
                       r->job, block->n - start, RELEASE_BYTES_MAX);
    }
    return 0;
}

int release_decode(struct span block, struct release *ret)
{
    struct release r = {0};
    struct span text;
    if (fields_from_headers(&release_fields, block, &r) < 0 ||
        fields_from_headers(&verdict_fields, block, &r) < 0) {
        return -1;
    }
    if (headers_get(block, "key", &text) &&
        base64_decode(text, r.key.b, sizeof(r.key.b)) < 0) {
        return -1;
    }
    if (headers_get(block, "chain", &text) && decode_chain(text, &r) < 0) {
        return -1;
    }
    bool has_job = r.verdict != VERDICT_FLUSH || r.job[0] != '\0';
    if (has_job && job_id_parse(span_str(r.job), r.team, r.feature) < 0) {
        return -1;
    }
    r.tries = MAX_OF(r.tries, 1u);
    *ret = r;
    return 0;
}

struct usd release_try_bound(const struct release *r)
{
    return usd_from_pico(usd_pico(r->reserved) / (int64_t)MAX_OF(r->tries, 1u));
}

/* ---- its place in `ready` ---- */

struct queue_at place_at(uint64_t place)
{
    return (struct queue_at){.topic = TOPIC_READY,
                             .partition = place_partition(place),
                             .offset = place_offset(place)};
}

/* Fixed for life: answers are looked for where this says. The sums are done in the ring of the
 * partitions, so that nothing wraps around. */
uint32_t ready_partition(uint64_t root, const struct digest *key, uint32_t partitions)
{
    return (uint32_t)((root % partitions + hash_u64(*key) % SPREAD) % partitions);
}

uint32_t release_partition(const struct release *r, uint32_t partitions)
{
    if (partitions == 1) {
        return 0;
    }
    if (r->verdict == VERDICT_RUN && r->chain_len > 0) {
        return ready_partition(r->chain[0].hash, &r->key, partitions);
    }
    const struct digest job = hash_of(span_str(r->job));
    return (uint32_t)(hash_u64(job) % partitions);
}
