/*
 * record.h - the records and rows that two roles share, each with one encode/decode pair.
 *
 * A record moves left to right and is never edited in place:
 *
 *   jobs.<team>.<feature>   struct job_head      + the input line, as received     submit
 *   ready                   struct release       + the same bytes (a reference)    scheduler
 *   results.<team>          struct result_head   + an OpenAI batch output line     worker
 *   spend                   struct spend_head    + flat JSON, schemas/spend.v1.json worker
 *   dead.<team>             struct result_head   + the input                       worker
 *
 * Heads travel in the record's headers (core/headers.h); names are short because one block is at
 * most RELEASE_BYTES_MAX. Rows of tables are JSON texts, so that `offpeak cat` shows them as they are.
 *
 * To add a field: add it to the struct, one line in the encoder and one in the decoder; a reader
 * treats an absent field as zero or empty. Never rename or re-use a name.
 */
#ifndef OFFPEAK_CORE_RECORD_H
#define OFFPEAK_CORE_RECORD_H

#include "core/buf.h"
#include "core/clock.h"
#include "core/err.h"
#include "core/hash.h"
#include "core/money.h"
#include "core/prices.h"
#include "core/prompt.h"
#include "core/queue.h"

#define TEAM_MAX          40
#define FEATURE_MAX       40
#define RUN_MAX           80
#define JOB_ID_MAX        140
#define WHY_MAX           400
#define CUSTOM_ID_RAW_MAX 256 /* bytes of a raw JSON string that is echoed */
#define RELEASE_BYTES_MAX 768

/* In cache keys and run rows, the endpoint of a pool: this and its name. */
#define ENDPOINT_POOL "pool:"

/* ---- names of topics and tables ---- */
#define TOPIC_READY   "ready"
#define TOPIC_SPEND   "spend"
#define TABLE_BUDGETS "budgets"
#define TABLE_OPEN    "open"
#define TABLE_LEDGER  "ledger"
#define TABLE_MARKS   "marks"
#define TABLE_ANSWERS "answers"
#define TABLE_BATCHES "batches"
#define TABLE_ACKS    "acks" /* of it the last jobs: core/last_job.h */
#define PREFIX_JOBS   "jobs."

/* `ready`, `answers` and `batches` are spread over at most so many partitions. */
#define READY_PARTITIONS_MAX 1024

void topic_jobs(const char *team, const char *feature, char ret[static QUEUE_NAME_MAX]);
void topic_results(const char *team, char ret[static QUEUE_NAME_MAX]);
void topic_dead(const char *team, char ret[static QUEUE_NAME_MAX]);
void table_runs(const char *team, char ret[static QUEUE_NAME_MAX]);
/* "jobs.search.tags" -> team, feature; -1 when it is no jobs topic. */
int topic_jobs_parse(const char *topic, char ret_team[static TEAM_MAX + 1],
                     char ret_feature[static FEATURE_MAX + 1]);

/* Where a job stands: "team.feature/partition/offset/ms". No client chooses it. */
void job_id_format(const struct queue_msg *job, char ret[static JOB_ID_MAX]);
/* The queue a job id names; -1 when it is no job id. */
int job_id_parse(struct span id, char ret_team[static TEAM_MAX + 1],
                 char ret_feature[static FEATURE_MAX + 1]);

/* ... and the record it names. */
int job_id_place(struct span id, struct queue_at *ret);

/* ---- jobs ---- */
struct job_head {
    char run[RUN_MAX + 1];
    uint64_t attempt, line; /* line: 1-based line of the input */
    char refused[WHY_MAX];  /* why submit could not accept the line; empty: accepted */
    struct span
        custom_id; /* raw JSON string when `refused` and it could be read; else empty.
                                Decoded: borrowed from the block. At most
                                CUSTOM_ID_RAW_MAX bytes. */
};
int job_head_encode(const struct job_head *h, struct buf *block);
int job_head_decode(struct span block, struct job_head *ret);
/* The same, and why not, in words for who wrote it. */
int job_head_read(struct span block, struct job_head *ret, char ret_why[static WHY_MAX]);

/* ---- ready ----
 * In text, so that a person can read it in `offpeak cat`; key and chain links (8 bytes of hash,
 * 4 of length) in base 64. Team and feature are those of the job id and travel in it alone. At
 * most RELEASE_BYTES_MAX: `why`, and of a chain the last links, are cut to what fits, which no
 * release whose numbers are below 10^12 needs. */
enum verdict { VERDICT_RUN, VERDICT_REJECTED, VERDICT_CANCELLED, VERDICT_FLUSH };

struct release {
    enum verdict verdict;
    char why[WHY_MAX]; /* of a rejected or cancelled job; cut to what fits */
    char job[JOB_ID_MAX];
    char run[RUN_MAX + 1];
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    uint64_t attempt, line;
    enum lane lane;
    char model[PROMPT_MODEL_MAX + 1]; /* asked; routing comes later */
    struct digest key;
    struct prompt_link chain[PROMPT_CHAIN_MAX];
    unsigned chain_len;
    struct usd reserved; /* for all tries together: see release_try_bound */
    uint32_t
        tries; /* how often its call may be made, each time perhaps billed; 1 at least */
    uint64_t input_bound, output_bound; /* tokens */
    uint32_t inputs; /* vectors its answer must have; 0: it asks for none */
    bool unlimited;  /* it states no output limit: output_bound is its model's maximum */
    char prices[PRICES_VERSION_MAX];
    char day[CLOCK_DAY_TEXT];   /* UTC day of release: the period of its charges */
    bool fresh;                 /* ignore answers older than the run */
    int64_t fresh_ms;           /* ... that is, stored before this time */
    bool reusable;              /* its answer may be reused and it may use one */
    uint32_t id_at, id_len;     /* custom_id, raw JSON string within the line */
    uint32_t body_at, body_len; /* body within the line */
    char path[64];              /* url */
    uint64_t seen_budgets,
        seen_spend; /* last budgets commit and spend offset applied before */
};
int release_encode(const struct release *r, struct buf *block, struct err *err);
int release_decode(struct span block, struct release *ret);
/* ---- places ----
 * Where a record stands in its topic, as one number: the partition above, the offset below. In
 * partition 0 it is the offset. place_at is of `ready`. */
#define PLACE_OFFSET_BITS 48
static inline uint64_t place_of(uint32_t partition, uint64_t offset)
{
    return (uint64_t)partition << PLACE_OFFSET_BITS | offset;
}
static inline uint32_t place_partition(uint64_t place)
{
    return (uint32_t)(place >> PLACE_OFFSET_BITS);
}
static inline uint64_t place_offset(uint64_t place)
{
    return place & ((UINT64_C(1) << PLACE_OFFSET_BITS) - 1);
}
struct queue_at place_at(uint64_t place);

/* The partition of `ready` in which requests of that prefix root and cache key meet, in every lane and
 * for ever; their answer stands in the same one. One prefix goes over SPREAD partitions at most. */
#define SPREAD 4
uint32_t ready_partition(uint64_t root, const struct digest *key, uint32_t partitions);
/* ... of a release: one that asks nothing (rejected, cancelled) goes by its job. */
uint32_t release_partition(const struct release *r, uint32_t partitions);

/* What one try can cost at most. */
struct usd release_try_bound(const struct release *r);

/* ---- results ---- */
enum status { STATUS_OK, STATUS_FAILED, STATUS_CANCELLED, STATUS_REJECTED };
const char *status_name(enum status s);

struct result_head {
    char run[RUN_MAX + 1], feature[FEATURE_MAX + 1];
    uint64_t attempt, line;
    enum status status;
    bool paid;
    bool unlimited; /* it stated no output limit: see struct release */
    char why[32];   /* a short code: max_cost, invalid, refused_by_provider, ... */
};
int result_head_encode(const struct result_head *h, struct buf *block);
int result_head_decode(struct span block, struct result_head *ret);

/* ---- spend ---- */
enum spend_kind { SPEND_USAGE, SPEND_AVOIDED, SPEND_IN_DOUBT, SPEND_CORRECTION };

/* What the scheduler and totals need without parsing the JSON. */
struct spend_head {
    enum spend_kind kind;
    char job[JOB_ID_MAX], run[RUN_MAX + 1], team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    uint64_t attempt;
    uint32_t try_n; /* of the job's calls in this attempt, which one; 1 the first */
    bool final;     /* ends the job's reservation; else only the part `cost` of it */
    char day[CLOCK_DAY_TEXT]; /* period it is booked to: the day of its reservation */
    struct usd cost;          /* usage: billed; in doubt: the bound that stays booked */
    struct usage usage;
    char model[PROMPT_MODEL_MAX + 1];
};
int spend_head_encode(const struct spend_head *h, struct buf *block);
int spend_head_decode(struct span block, struct spend_head *ret);

/* The published record. */
struct spend {
    struct spend_head head;
    enum lane lane;
    enum status outcome;
    enum answer_source source;
    struct charge charge;
    bool cost_known; /* false: cost fields are null, in_doubt_usd carries the bound */
    uint64_t line;
    struct span custom_id;  /* raw JSON string or empty (null) */
    const char *provider;   /* "openai" */
    const char *model_used; /* as the provider reported it, or NULL */
    const char *batch;      /* provider's batch id or NULL */
    const char *request_id; /* or NULL */
    const char *account;    /* account fingerprint */
    const char *prices;     /* price-book version */
    const char *why;        /* in doubt: what happened; else NULL */
    int64_t time_ms;
};
/* event_id = the first 128 bits of SHA-256 over job id, attempt and kind, in hex: at-least-once
 * readers fold by it. A job may have an in-doubt record for each of its tries: from the second
 * on the try is part of the id. An in-doubt record has null costs and tokens; `in_doubt_usd` is
 * its bound. One that is not final has no outcome: the job goes on with its next try. */
int spend_encode(const struct spend *s, struct buf *headers, struct buf *json,
                 struct err *err);

/* ---- runs.<team>, key feature/run ---- */
struct run_row {
    char digest[HASH_HEX]; /* SHA-256 of the input bytes that make up the run */
    char endpoint[256];    /* origin of the base URL */
    char account[64];      /* account fingerprint */
    char source[256];      /* file name as given, for messages */
    enum lane lane;
    bool fresh;
    char reuse[16]; /* always, deterministic, never */
    enum prompt_level level;
    bool has_max_cost;
    struct usd max_cost;
    int64_t started_ms;
    uint64_t results_from,
        spend_from;      /* offsets of results.<team> and spend when it began */
    uint64_t lines;      /* enqueued so far; written in the commit that enqueues them */
    bool complete;       /* all lines are in: `lines` is the total */
    bool spread;         /* its lines go over more than one partition of their topic: */
    uint32_t partitions; /* ... so many; as many as there were when it began */
    uint64_t refused;    /* of them, refused by submit */
    uint64_t blank;      /* of them, empty lines: numbered, but no job */
    bool retried;        /* jobs that had failed were queued again: */
    uint64_t attempt;    /* ... the last time as this attempt */
    uint64_t again;      /* ... so many, over all times */
    bool retrying;       /* ... and of the last time not all of them are queued yet */
};
int run_row_encode(const struct run_row *r, struct buf *json);
int run_row_decode(struct span json, struct run_row *ret, struct err *err);
/* While a run is submitted its row may be this far behind its lines: what a commit holds, and
 * lines that are blank. */
#define RUN_LINES_AHEAD 1000000
/* False for a line that cannot be the run's: above its total, or of an attempt that nobody has
 * begun (a retry's row may come just behind its lines). It is of the queue's standing run. */
bool run_row_has(const struct run_row *r, const struct job_head *head);
/* The partition of the jobs topic that a line of the run goes to. */
uint32_t run_partition(const struct run_row *r, uint64_t line);
void run_key(const char *feature, const char *run, char ret[static QUEUE_KEY_MAX]);

/* ---- runs.<team>, key feature/run/cancel: from then on its jobs end as cancelled ---- */
struct cancel_row {
    char who[64], why[200];
    int64_t time_ms;
};
/* What the results of such jobs say: a code and its words. */
#define CANCELLED_WHY "cancelled: its run was cancelled (offpeak cancel)"

int cancel_row_encode(const struct cancel_row *c, struct buf *json);
void cancel_key(const char *feature, const char *run, char ret[static QUEUE_KEY_MAX]);
/* Was that run cancelled: 1 yes, 0 no. */
int run_cancelled(struct queue_cursor *c, const char *team, const char *feature,
                  const char *run, struct err *err);

/* ---- budgets, key scope#edit (edits are kept; the highest number is in force) ---- */
struct budget_edit {
    char scope[TEAM_MAX + FEATURE_MAX + 2]; /* team or team/feature */
    uint64_t edit;
    bool has_day, has_month, has_total;
    struct usd day, month, total;
    bool paused;
    char who[64], why[200];
    int64_t time_ms;
};
int budget_edit_encode(const struct budget_edit *b, struct buf *json);
int budget_edit_decode(struct span json, struct budget_edit *ret, struct err *err);
void budget_key(
    const char *scope, uint64_t edit,
    char ret[static QUEUE_KEY_MAX]); /* number zero-padded: rows sort by edit */

/* ---- open, key job id ---- */
struct open_row {
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1], run[RUN_MAX + 1];
    char model[PROMPT_MODEL_MAX + 1];
    uint64_t attempt;
    char day[CLOCK_DAY_TEXT];
    struct usd reserved;
    uint64_t tokens; /* enqueued tokens it counts for in the flow cap */
    uint64_t tried;  /* tries already booked as in doubt, and no longer in `reserved` */
    bool on_run;     /* its run has a --max-cost: it is reserved on that line too */
};
int open_row_encode(const struct open_row *o, struct buf *json);
int open_row_decode(struct span json, struct open_row *ret, struct err *err);

/* ---- ledger, key scope|period: "search|day|2026-11-21", "search/tags|total|" ,"run:search/tags/r1|total|" ---- */
struct ledger_row {
    struct usd_sum spent, in_doubt;
    struct usage tokens;
    uint64_t jobs, calls;
};
int ledger_row_encode(const struct ledger_row *l, struct buf *json);
int ledger_row_decode(struct span json, struct ledger_row *ret, struct err *err);

#endif
