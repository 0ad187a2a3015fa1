#include "core/record.h"

#include "core/fields.h"
#include "core/headers.h"
#include "core/name.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- names of topics, tables, rows ---- */

static void dotted(const char *first, const char *second, char ret[static QUEUE_NAME_MAX])
{
    snprintf(ret, QUEUE_NAME_MAX, "%s.%s", first, second);
}

void topic_jobs(const char *team, const char *feature, char ret[static QUEUE_NAME_MAX])
{
    snprintf(ret, QUEUE_NAME_MAX, PREFIX_JOBS "%s.%s", team, feature);
}

void topic_results(const char *team, char ret[static QUEUE_NAME_MAX])
{
    dotted("results", team, ret);
}

void topic_dead(const char *team, char ret[static QUEUE_NAME_MAX])
{
    dotted("dead", team, ret);
}

void table_runs(const char *team, char ret[static QUEUE_NAME_MAX])
{
    dotted("runs", team, ret);
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* The name at *at, [a-z0-9-]{1,max}; moves *at behind it. */
static int take_name(struct span text, size_t *at, size_t max, char *ret)
{
    size_t n = 0;
    while (*at + n < text.n && is_name_char(text.p[*at + n])) {
        n++;
    }
    if (n == 0 || n > max) {
        return -1;
    }
    memcpy(ret, text.p + *at, n);
    ret[n] = '\0';
    *at += n;
    return 0;
}

static int take_char(struct span text, size_t *at, char want)
{
    if (*at >= text.n || text.p[*at] != want) {
        return -1;
    }
    (*at)++;
    return 0;
}

int topic_jobs_parse(const char *topic, char ret_team[static TEAM_MAX + 1],
                     char ret_feature[static FEATURE_MAX + 1])
{
    struct span text = span_str(topic);
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    size_t at = sizeof(PREFIX_JOBS) - 1;
    if (text.n < at || memcmp(text.p, PREFIX_JOBS, at) != 0 ||
        take_name(text, &at, TEAM_MAX, team) < 0 || take_char(text, &at, '.') < 0 ||
        take_name(text, &at, FEATURE_MAX, feature) < 0 || at != text.n) {
        return -1;
    }
    memcpy(ret_team, team, sizeof(team));
    memcpy(ret_feature, feature, sizeof(feature));
    return 0;
}

void job_id_format(const struct queue_msg *job, char ret[static JOB_ID_MAX])
{
    const char *queue = job->at.topic;
    if (strncmp(queue, PREFIX_JOBS, sizeof(PREFIX_JOBS) - 1) == 0) {
        queue += sizeof(PREFIX_JOBS) - 1;
    }
    snprintf(ret, JOB_ID_MAX, "%.*s/%" PRIu32 "/%" PRIu64 "/%" PRId64,
             TEAM_MAX + 1 + FEATURE_MAX, queue, job->at.partition, job->at.offset,
             job->time_ms);
}

/* "search.tags/0/17/1795279027258" */
static int split_id(struct span id, char ret_team[static TEAM_MAX + 1],
                    char ret_feature[static FEATURE_MAX + 1], uint64_t ret_numbers[3])
{
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    size_t at = 0;
    if (take_name(id, &at, TEAM_MAX, team) < 0 || take_char(id, &at, '.') < 0 ||
        take_name(id, &at, FEATURE_MAX, feature) < 0) {
        return -1;
    }
    for (int i = 0; i < 3; i++) {
        size_t from = at + 1;
        if (take_char(id, &at, '/') < 0) {
            return -1;
        }
        while (at < id.n && id.p[at] != '/') {
            at++;
        }
        if (span_u64(span_of(id.p + from, at - from), &ret_numbers[i]) < 0) {
            return -1;
        }
    }
    if (at != id.n) {
        return -1;
    }
    memcpy(ret_team, team, sizeof(team));
    memcpy(ret_feature, feature, sizeof(feature));
    return 0;
}

int job_id_parse(struct span id, char ret_team[static TEAM_MAX + 1],
                 char ret_feature[static FEATURE_MAX + 1])
{
    uint64_t numbers[3];
    return split_id(id, ret_team, ret_feature, numbers);
}

int job_id_place(struct span id, struct queue_at *ret)
{
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    uint64_t numbers[3];
    if (split_id(id, team, feature, numbers) < 0 || numbers[0] >= QUEUE_PARTITIONS) {
        return -1;
    }
    topic_jobs(team, feature, ret->topic);
    ret->partition = (uint32_t)numbers[0];
    ret->offset = numbers[1];
    return 0;
}

void run_key(const char *feature, const char *run, char ret[static QUEUE_KEY_MAX])
{
    snprintf(ret, QUEUE_KEY_MAX, "%s/%s", feature, run);
}

void cancel_key(const char *feature, const char *run, char ret[static QUEUE_KEY_MAX])
{
    snprintf(ret, QUEUE_KEY_MAX, "%s/%s/cancel", feature, run);
}

int run_cancelled(struct queue_cursor *c, const char *team, const char *feature,
                  const char *run, struct err *err)
{
    char table[QUEUE_NAME_MAX], key[QUEUE_KEY_MAX];
    struct queue_msg row;
    table_runs(team, table);
    cancel_key(feature, run, key);
    return queue_table_get(c, table, 0, span_str(key), &row, err);
}

void budget_key(const char *scope, uint64_t edit, char ret[static QUEUE_KEY_MAX])
{
    snprintf(ret, QUEUE_KEY_MAX, "%s#%020" PRIu64, scope, edit);
}

/* ---- jobs ---- */

static const struct field job_head_list[] = {
    FIELD_TEXT_OF(struct job_head, run, "run"),
    FIELD_OF(struct job_head, FIELD_U64, attempt, "attempt"),
    FIELD_OF(struct job_head, FIELD_U64, line, "line"),
    FIELD_TEXT_OF(struct job_head, refused, "refused"),
    FIELD_OF(struct job_head, FIELD_SPAN, custom_id, "custom_id"),
};
static const struct fields job_head_fields = FIELDS("head of a job", job_head_list);

int job_head_encode(const struct job_head *h, struct buf *block)
{
    return h->custom_id.n > CUSTOM_ID_RAW_MAX
               ? -1
               : fields_to_headers(&job_head_fields, h, block);
}

static int no_head(char ret_why[static WHY_MAX], const char *name)
{
    (void)snprintf(ret_why, WHY_MAX, "has %s%s%s that cannot be read: correct %s",
                   name[0] ? "a header '" : "headers", name, name[0] ? "'" : "",
                   name[0] ? "it" : "them");
    return -1;
}

int job_head_read(struct span block, struct job_head *ret, char ret_why[static WHY_MAX])
{
    struct job_head h = {0};
    struct span cut;
    const char *wrong;
    if (headers_get(block, HEADERS_CUT, &cut)) {
        (void)snprintf(ret_why, WHY_MAX, "has headers of more than %d bytes: send fewer",
                       HEADERS_BYTES_MAX);
        return -1;
    }
    if (fields_from_headers_of(&job_head_fields, block, &h, &wrong) < 0) {
        return no_head(ret_why, wrong);
    }
    if (h.custom_id.n > CUSTOM_ID_RAW_MAX) {
        return no_head(ret_why, "custom_id");
    }
    if (h.run[0] && !name_is_run(span_str(h.run))) {
        (void)snprintf(
            ret_why, WHY_MAX,
            "has a header 'run' that is no name of a run: letters, digits, '.', "
            "'_' and '-' only");
        return -1;
    }
    *ret = h;
    return 0;
}

int job_head_decode(struct span block, struct job_head *ret)
{
    char why[WHY_MAX];
    return job_head_read(block, ret, why);
}

bool run_row_has(const struct run_row *r, const struct job_head *head)
{
    uint64_t lines = r->lines;
    if (!r->complete && __builtin_add_overflow(lines, RUN_LINES_AHEAD, &lines)) {
        lines = UINT64_MAX;
    }
    uint64_t attempt = MAX_OF(r->attempt, 1u);
    return head->line <= lines && head->attempt - (head->attempt > 0) <= attempt;
}

/* ---- results ---- */

static const char *const status_words[] = {
    [STATUS_OK] = "ok",
    [STATUS_FAILED] = "failed",
    [STATUS_CANCELLED] = "cancelled",
    [STATUS_REJECTED] = "rejected",
};

const char *status_name(enum status s)
{
    return status_words[s];
}

static const struct field result_head_list[] = {
    FIELD_TEXT_OF(struct result_head, run, "run"),
    FIELD_TEXT_OF(struct result_head, feature, "feature"),
    FIELD_OF(struct result_head, FIELD_U64, attempt, "attempt"),
    FIELD_OF(struct result_head, FIELD_U64, line, "line"),
    FIELD_WORD_OF(struct result_head, status, status_words, "status"),
    FIELD_OF(struct result_head, FIELD_BOOL, paid, "paid"),
    FIELD_OF(struct result_head, FIELD_BOOL, unlimited, "nolimit"),
    FIELD_TEXT_OF(struct result_head, why, "why"),
};
static const struct fields result_head_fields =
    FIELDS("head of a result", result_head_list);

int result_head_encode(const struct result_head *h, struct buf *block)
{
    return fields_to_headers(&result_head_fields, h, block);
}

int result_head_decode(struct span block, struct result_head *ret)
{
    struct result_head h = {0};
    if (fields_from_headers(&result_head_fields, block, &h) < 0) {
        return -1;
    }
    *ret = h;
    return 0;
}
