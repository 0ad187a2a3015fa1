/* Any records, rows and acknowledgements as a broker may hand them to us: they are stored as they
 * are, or left out; whoever reads the store then says what is wrong and goes on.
 *
 * The first byte chooses: acknowledgements, a name and a record as it lies on disk, or topics and
 * tables. What follows is a list of records, each with its parts behind their lengths. */
#include "cli/audit.h"
#include "core/headers.h"
#include "core/queue_kafka.h"
#include "core/record.h"
#include "scheduler/books.h"
#include "scheduler/runs.h"
#include "tests/fuzz/file.h"
#include "worker/journal.h"
#include "worker/released.h"

#define RECORDS_MAX 64
#define TIME_MS     1795279027258 /* of a record, */
#define LATE        0x80u /* ... unless its first byte says it is of the end of time */
#define PREFIX      "offpeak."

/* What a record may stand in; `ready` first, for acknowledgements. */
static const struct store_name places[] = {
    {'T', 0, TOPIC_READY},   {'T', 0, "jobs.red.names"}, {'T', 1, "jobs.red.names"},
    {'T', 0, TOPIC_SPEND},   {'T', 0, "results.red"},    {'R', 0, "runs.red"},
    {'R', 0, TABLE_OPEN},    {'R', 0, TABLE_LEDGER},     {'R', 0, TABLE_MARKS},
    {'R', 0, TABLE_BUDGETS}, {'R', 0, TABLE_BATCHES},    {'R', 0, TABLE_ANSWERS},
};

static struct queue *queue;
static struct queue_tx *tx;

static void open_once(void)
{
    struct err err = {0};
    const struct queue_conf conf = {.dir = file_folder()};
    if (!queue) {
        MUST(queue_open(&queue, &conf, &err) == 0 && copy_begin(queue, &tx) == 0);
    }
}

static void drop_all(void)
{
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        MUST(copy_mark(tx, OP_DROP, &places[i], 0, SPAN_NONE, NULL) == 0);
    }
    MUST(copy_apply(tx, NULL) >= 0);
}

/* ---- acknowledgements ---- */

/* What was taken is bounded; then all of it is of one topic, for names would fill the store. */
static void check_taken(void)
{
    for (size_t i = 0; i < tx->n_names; i++) {
        const struct store_name *is = &tx->names[i].is;
        MUST(is->kind == 'T' && is->partition < QUEUE_PARTITIONS);
        MUST(queue_name_ok(is->name));
        tx->names[i].is = places[0];
    }
    for (size_t i = 0; i < tx->n_ops; i++) {
        MUST(tx->ops[i].kind == OP_LOW || tx->ops[i].kind == OP_BITS);
    }
}

static void check_acks(struct span in)
{
    struct link l = {.q = queue, .role = QUEUE_WHOLE};
    struct topic_row row;
    for (int i = 0; i < RECORDS_MAX && in.n; i++) {
        struct span key = fuzz_take(&in, fuzz_number(&in, 1));
        const struct kafka_event ev = {.what = KAFKA_RECORD,
                                       .key = key,
                                       .value = fuzz_take(&in, fuzz_number(&in, 2))};
        MUST(acks_restore(&l, tx, &ev, NULL) == 0);
    }
    check_taken();
    MUST(copy_apply(tx, NULL) == 0);
    MUST(copy_topic(queue, &places[0], &row, NULL) >= 0);
    drop_all();
}

/* A page that is written as a row and read back is the page, but for what lies below the low. */
static void check_page(struct span in)
{
    struct link l = {.q = queue, .role = QUEUE_WHOLE};
    struct ack_change_page page = {.number = fuzz_number(&in, 2)};
    struct ack_change change = {.topic = places[0]};
    struct acks_row low, bits;
    struct topic_row row;
    uint8_t key[ACK_KEY_BYTES];
    change.low = page.number * ACK_BITS + fuzz_number(&in, 2) % ACK_BITS;
    memcpy(page.bits, in.n ? in.p : "", MIN_OF(in.n, sizeof(page.bits)));
    acks_low_row(&change, &low);
    acks_page_row(&change, &page, &bits);
    const struct acks_row *const rows[] = {&low, &bits};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct kafka_event ev = {
            .what = KAFKA_RECORD,
            .key = span_str(rows[i]->key),
            .value = span_of(rows[i]->value, rows[i]->value_bytes)};
        MUST(acks_restore(&l, tx, &ev, NULL) == 0);
    }
    MUST(tx->n_ops == 2 && copy_apply(tx, NULL) == 0);
    MUST(copy_topic(queue, &places[0], &row, NULL) == 1 && row.low == change.low);

    MDB_txn *txn = NULL;
    MDB_val v, k = val_of(key, sizeof(key));
    size_t below = (size_t)(change.low % ACK_BITS) / 8;
    ack_key(row.id, page.number, key);
    MUST(mdb_txn_begin(queue->store.env, NULL, MDB_RDONLY, &txn) == 0);
    MUST(mdb_get(txn, queue->store.rows, &k, &v) == 0 && v.mv_size == ACK_BYTES);
    for (size_t i = 0; i < ACK_BYTES; i++) {
        MUST(((uint8_t *)v.mv_data)[i] == (i < below ? 0xff : page.bits[i]));
    }
    mdb_txn_abort(txn);
    drop_all();
}

/* ---- names and records ---- */

static void check_name(struct span in)
{
    struct link l = {.prefix = (char *)(uintptr_t)PREFIX};
    struct store_name name;
    struct rec rec;
    char text[KAFKA_TOPIC_MAX], again[KAFKA_TOPIC_MAX];
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    const char *topic = fuzz_text(in, text, sizeof(text));
    if (link_name(&l, topic, &name)) {
        link_topic(&l, name.name, again);
        MUST(strcmp(topic, again) == 0 && queue_name_ok(name.name));
    }
    if (topic_jobs_parse(topic, team, feature) == 0) {
        topic_jobs(team, feature, again);
        MUST(strcmp(topic, again) == 0);
    }
    if (!rec_parse(val_of(in.p, in.n), &rec)) {
        MUST(fuzz_within(rec.key, in) && fuzz_within(rec.headers, in));
        MUST(fuzz_within(rec.value, in));
    }
}

/* ---- a whole store ---- */

static void put_records(struct span in)
{
    uint64_t offset = 0;
    for (int i = 0; i < RECORDS_MAX && in.n; i++) {
        unsigned where = fuzz_number(&in, 1);
        struct copied rec = {.of = places[(where & ~LATE) % ARRAY_LEN(places)],
                             .offset = offset++,
                             .time_ms = where & LATE ? INT64_MAX : TIME_MS};
        rec.key = fuzz_take(&in, fuzz_number(&in, 1));
        rec.headers = fuzz_take(&in, fuzz_number(&in, 2));
        rec.value = fuzz_take(&in, fuzz_number(&in, 2));
        rec.commit = offset;
        (void)link_signed(&rec.headers, &rec.commit);
        if (rec.of.kind == 'T' || rec.key.n > 0) {
            (void)copy_add(tx, &rec, NULL); /* refused: headers that are none */
        }
    }
    MUST(copy_apply(tx, NULL) == 0);
}

/* What a scheduler reads when it begins: limits, reservations, runs. */
static void on_open(void *ctx, const struct open_row *row)
{
    (void)ctx;
    MUST(memchr(row->team, '\0', sizeof(row->team)));
}

static void check_books(void)
{
    const struct budget_default none = {.given = false};
    struct err err = {0};
    struct books *b = NULL;
    MUST(books_create(&b, &none, &err) == 0);
    MUST(books_load(b, queue, on_open, NULL, &err) == 0 || err.msg[0]);
    books_destroy(b);
}

static void check_runs(struct queue_cursor *jobs, struct queue_cursor *look)
{
    struct err err = {0};
    struct queue_msg msg;
    struct runs *runs = runs_create();
    int rc = queue_read_topic(jobs, places[1].name, places[1].partition, 0);
    while (rc >= 0 && (rc = queue_read(jobs, &msg, &err)) > 0) {
        struct job_head head;
        struct run *run = NULL;
        char why[WHY_MAX] = "";
        if (job_head_decode(msg.headers, &head) < 0) {
            continue;
        }
        if (runs_of(runs, look, &msg.at, &head, &run, &err) < 0) {
            MUST(err.msg[0]); /* a mark of our own that is none */
        } else {
            MUST(run_takes(run, look, &head, why, &err) == 0);
        }
    }
    MUST(rc == 0);
    runs_destroy(runs);
}

/* What a worker reads of `ready`: the request lies within its record. */
static void check_ready(struct queue_cursor *look)
{
    for (uint64_t offset = 0; offset < RECORDS_MAX; offset++) {
        struct err err = {0};
        struct released job;
        if (released_read(look, place_of(0, offset), &job, &err) < 0) {
            MUST(err.msg[0] && err.hint[0]);
        } else {
            MUST(job.release.body_len == job.body.n);
        }
    }
}

static void check_roles(void)
{
    struct err err = {0};
    struct queue_cursor *walk, *look;
    MUST(queue_cursor_open(queue, &walk, &err) == 0);
    MUST(queue_cursor_open(queue, &look, &err) == 0);
    check_books();
    check_runs(walk, look);
    check_ready(look);
    queue_cursor_close(walk);
    queue_cursor_close(look);
}

static int on_entry(void *ctx, const struct journal_entry *e, struct err *err)
{
    enum lane lane;
    (void)ctx;
    (void)err;
    MUST(e->n <= BATCH_CALLS_MAX);
    (void)journal_lane(e->row, &lane);
    return 0;
}

static void on_difference(void *ctx, const struct audit_difference *d)
{
    (void)ctx;
    MUST(d->kind < AUDIT_KINDS && d->where[0] && d->expected[0] && d->found[0]);
}

static void on_note(void *ctx, const char *text)
{
    (void)ctx;
    MUST(text[0]);
}

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t all)
{
    (void)ctx;
    MUST(what[0] && (all == 0 || done <= all));
}

static void check_store(struct span in)
{
    struct err err = {0};
    struct audit_counts counts = {0};
    const struct audit_conf conf = {.queue = queue,
                                    .dir = file_folder(),
                                    .on_difference = on_difference,
                                    .on_note = on_note,
                                    .on_progress = on_progress};
    put_records(in);
    MUST(journal_read(queue, 0, on_entry, NULL, &err) == 0 || err.msg[0]);
    check_roles();
    MUST(audit_run(&conf, &counts, &err) == 0);
    MUST(counts.jobs <= RECORDS_MAX && counts.results <= RECORDS_MAX);
    drop_all();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = span_of(data, n);
    open_once();
    switch (fuzz_number(&in, 1) % 4) {
    case 0: check_store(in); break;
    case 1: check_acks(in); break;
    case 2: check_page(in); break;
    case 3: check_name(in); break;
    }
    return 0;
}
