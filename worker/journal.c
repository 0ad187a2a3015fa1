#include "worker/journal.h"
#include "core/fields.h"
#include "core/jtext.h"
#include "core/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_MAX    (BATCH_ID_BYTES + 16)
#define MEMBER_KEY "%s/m/%03u" /* padded: rows come back in order; BATCH_CALLS_MAX fits */

struct row {
    char state[16];
    uint32_t requests;
    struct batch b;
};

static const struct field row_table[] = {
    FIELD_TEXT_OF(struct row, state, "state"),
    FIELD_TEXT_OF(struct row, b.id, "id"),
    FIELD_TEXT_OF(struct row, b.account, "account"),
    FIELD_TEXT_OF(struct row, b.origin, "origin"),
    FIELD_TEXT_OF(struct row, b.path, "path"),
    FIELD_TEXT_OF(struct row, b.model, "model"),
    FIELD_OF(struct row, FIELD_U32, requests, "requests"),
    FIELD_OF(struct row, FIELD_U64, b.go, "go"),
    FIELD_OF(struct row, FIELD_U64, b.failures, "failures"),
    FIELD_OF(struct row, FIELD_U64, b.overflows, "overflows"),
    FIELD_OF(struct row, FIELD_I64, b.created_ms, "created_ms"),
    FIELD_OF(struct row, FIELD_I64, b.file_created_s, "file_created_s"),
    FIELD_OF(struct row, FIELD_I64, b.due_wall_ms, "due_ms"),
    FIELD_TEXT_OF(struct row, b.file, "file_id"),
    FIELD_TEXT_OF(struct row, b.remote, "batch_id"),
    FIELD_TEXT_OF(struct row, b.output, "output_file_id"),
    FIELD_TEXT_OF(struct row, b.error, "error_file_id"),
    FIELD_OF(struct row, FIELD_BOOL, b.deleting, "deleting"),
    FIELD_OF(struct row, FIELD_BOOL, b.refetched, "refetched"),
    FIELD_OF(struct row, FIELD_BOOL, b.in_doubt, "in_doubt"),
    FIELD_OF(struct row, FIELD_BOOL, b.counted, "counted"),
    FIELD_OF(struct row, FIELD_U64, b.executed, "executed"),
    FIELD_TEXT_OF(struct row, b.why, "why"),
};
static const struct fields row_fields = FIELDS("row of 'batches'", row_table);

int journal_encode(const struct batch *b, enum batch_state state, struct buf *json)
{
    struct row r = {.requests = b->n, .b = *b};
    snprintf(r.state, sizeof(r.state), "%s", batch_state_name(state));
    return fields_to_json(&row_fields, &r, json);
}

int journal_decode(struct span json, struct batch *b, enum batch_state *ret_state,
                   uint32_t *ret_requests, struct err *err)
{
    struct row r = {.b = *b};
    int rc = fields_from_json(&row_fields, json, &r, err);
    if (rc < 0) {
        return rc;
    }
    enum batch_state state;
    if (batch_state_parse(r.state, &state) < 0 || !batch_rules[state].durable) {
        return err_set(err, ERR_VERSION,
                       "could not read batch '%s': no state is called '%s'", r.b.id,
                       r.state);
    }
    *b = r.b;
    *ret_state = state;
    *ret_requests = r.requests;
    return 0;
}

int journal_put(struct queue_tx *tx, const struct batch *b, enum batch_state state,
                struct err *err)
{
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, JOURNAL_ROW_MAX);
    if (journal_encode(b, state, &json) < 0) {
        return err_set(err, ERR_FAIL, "could not write the journal of batch '%s'", b->id);
    }
    return journal_put_entry(tx, b->partition, b->id, buf_span(&json), err);
}

int journal_put_entry(struct queue_tx *tx, uint32_t partition, const char *id,
                      struct span row, struct err *err)
{
    return queue_table_put(tx, TABLE_BATCHES, partition, span_str(id), row, err);
}

int journal_put_members(struct queue_tx *tx, const struct batch *b, struct err *err)
{
    return journal_put_ats(tx, b->partition, b->id, b->ats, b->n, err);
}

/* "[1,2,3]": offsets, for the row stands in their partition. */
static int members_json(uint32_t partition, const uint64_t *at, uint32_t n,
                        struct buf *json)
{
    buf_reset(json);
    for (uint32_t i = 0; i < n; i++) {
        if (place_partition(at[i]) != partition) {
            return -1;
        }
        buf_addf(json, "%c%" PRIu64, i == 0 ? '[' : ',', place_offset(at[i]));
    }
    buf_addc(json, ']');
    return json->failed ? -1 : 0;
}

int journal_put_ats(struct queue_tx *tx, uint32_t partition, const char *id,
                    const uint64_t *at, uint32_t n, struct err *err)
{
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, JOURNAL_ROW_MAX);
    for (uint32_t from = 0; from < n; from += JOURNAL_MEMBERS) {
        char key[KEY_MAX];
        snprintf(key, sizeof(key), MEMBER_KEY, id, from / JOURNAL_MEMBERS);
        if (members_json(partition, at + from,
                         MIN_OF(n - from, (uint32_t)JOURNAL_MEMBERS), &json) < 0) {
            return err_set(err, ERR_FAIL, "could not write the members of batch '%s'",
                           id);
        }
        int rc = queue_table_put(tx, TABLE_BATCHES, partition, span_str(key),
                                 buf_span(&json), err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int journal_delete(struct queue_tx *tx, const struct batch *b, struct err *err)
{
    return journal_delete_entry(tx, b->partition, b->id, b->n, err);
}

int journal_delete_entry(struct queue_tx *tx, uint32_t partition, const char *id,
                         uint32_t n, struct err *err)
{
    int rc = queue_table_put(tx, TABLE_BATCHES, partition, span_str(id), SPAN_NONE, err);
    for (uint32_t from = 0; rc >= 0 && from < n; from += JOURNAL_MEMBERS) {
        char key[KEY_MAX];
        snprintf(key, sizeof(key), MEMBER_KEY, id, from / JOURNAL_MEMBERS);
        rc = queue_table_put(tx, TABLE_BATCHES, partition, span_str(key), SPAN_NONE, err);
    }
    return rc;
}

/* ---- reading ---- */

int journal_lane(struct span row, enum lane *ret)
{
    char name[16] = "";
    static const struct field table[] = {
        {.name = "lane", .type = FIELD_TEXT, .size = 16}};
    static const struct fields fields = FIELDS("row of 'batches'", table);
    if (fields_from_json(&fields, row, name, NULL) < 0) {
        return -1;
    }
    *ret = LANE_BATCH;
    return name[0] ? lane_parse(span_str(name), ret) : 0;
}

/* The entry being put together while its rows come by. */
struct reader {
    uint32_t partition;
    journal_fn fn;
    void *ctx;
    char id[BATCH_ID_BYTES];
    struct buf row;
    uint64_t *at; /* BATCH_CALLS_MAX of them */
    uint32_t n;
};

static void reader_fini(struct reader *r)
{
    buf_fini(&r->row);
    free(r->at);
}

static int malformed(const struct queue_msg *m, struct err *err)
{
    return err_set(err, ERR_VERSION, "could not read row '%.*s' of the journal",
                   (int)m->key.n, m->key.p);
}

/* "[1,2,3]" as journal_put_members writes it. */
static int add_members(struct reader *r, const struct queue_msg *m, struct err *err)
{
    struct span rest = m->value;
    if (rest.n < 2 || rest.p[0] != '[' || rest.p[rest.n - 1] != ']') {
        return malformed(m, err);
    }
    rest = span_of(rest.p + 1, rest.n - 1);
    while (rest.n > 0) {
        const char *end = memchr(rest.p, ',', rest.n);
        size_t n = end ? (size_t)(end - rest.p) : rest.n - 1;
        uint64_t offset;
        if (r->n >= BATCH_CALLS_MAX || span_u64(span_of(rest.p, n), &offset) < 0) {
            return malformed(m, err);
        }
        r->at[r->n++] = place_of(r->partition, offset);
        rest = span_of(rest.p + n + 1, rest.n - n - 1);
    }
    return 0;
}

static int entry_done(struct reader *r, struct err *err)
{
    struct journal_entry e = {r->partition, buf_span(&r->row), r->at, r->n};
    int rc = r->id[0] ? r->fn(r->ctx, &e, err) : 0;
    r->id[0] = '\0';
    r->n = 0;
    return rc;
}

static int take_row(struct reader *r, const struct queue_msg *m, struct err *err)
{
    bool members = m->key.n > sizeof(r->id) - 1;
    if (members) {
        bool mine = memcmp(m->key.p, r->id, sizeof(r->id) - 1) == 0;
        return mine ? add_members(r, m, err) : malformed(m, err);
    }
    int rc = entry_done(r, err);
    if (rc < 0) {
        return rc;
    }
    if (m->key.n != sizeof(r->id) - 1) {
        return malformed(m, err);
    }
    memcpy(r->id, m->key.p, m->key.n);
    r->id[m->key.n] = '\0';
    buf_reset(&r->row);
    return jtext_check(m->value, NULL) < 0 || buf_add(&r->row, m->value.p, m->value.n) < 0
               ? malformed(m, err)
               : 0;
}

int journal_read(struct queue *q, uint32_t partition, journal_fn fn, void *ctx,
                 struct err *err)
{
    _cleanup_(reader_fini) struct reader r = {
        .partition = partition, .fn = fn, .ctx = ctx};
    buf_init(&r.row, JOURNAL_ROW_MAX);
    r.at = calloc(BATCH_CALLS_MAX, sizeof(*r.at));
    if (!r.at) {
        return err_set(err, ERR_FAIL, "could not read the journal: out of memory");
    }
    struct queue_cursor *c;
    int rc = queue_cursor_open(q, &c, err);
    if (rc < 0) {
        return rc;
    }
    rc = queue_read_table(c, TABLE_BATCHES, partition, SPAN_NONE);
    struct queue_msg m;
    while (rc >= 0 && (rc = queue_read(c, &m, err)) > 0) {
        rc = take_row(&r, &m, err);
    }
    queue_cursor_close(c);
    return rc < 0 ? rc : entry_done(&r, err);
}

int journal_read_owned(struct queue *q, journal_fn fn, void *ctx, struct err *err)
{
    uint32_t owned[READY_PARTITIONS_MAX];
    size_t n = queue_owned(q, TOPIC_READY, owned, READY_PARTITIONS_MAX);
    int rc = 0;
    for (size_t i = 0; i < n && rc >= 0; i++) {
        rc = journal_read(q, owned[i], fn, ctx, err);
    }
    return rc;
}
