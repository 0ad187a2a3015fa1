/* The rows of tables that two roles share, as JSON texts. */
#include "core/record.h"

#include "core/fields.h"

static const char *const level_words[] = {
    [PROMPT_L0] = "L0",
    [PROMPT_L1] = "L1",
};

/* ---- runs ---- */

static const struct field run_row_list[] = {
    FIELD_TEXT_OF(struct run_row, digest, "digest"),
    FIELD_TEXT_OF(struct run_row, endpoint, "endpoint"),
    FIELD_TEXT_OF(struct run_row, account, "account"),
    FIELD_TEXT_OF(struct run_row, source, "source"),
    FIELD_WORD_OF(struct run_row, lane, lane_words, "lane"),
    FIELD_OF(struct run_row, FIELD_BOOL, fresh, "fresh"),
    FIELD_TEXT_OF(struct run_row, reuse, "reuse"),
    FIELD_WORD_OF(struct run_row, level, level_words, "normalise"),
    FIELD_IF(struct run_row, FIELD_USD, max_cost, has_max_cost, "max_cost"),
    FIELD_OF(struct run_row, FIELD_I64, started_ms, "started_ms"),
    FIELD_OF(struct run_row, FIELD_U64, results_from, "results_from"),
    FIELD_OF(struct run_row, FIELD_U64, spend_from, "spend_from"),
    FIELD_OF(struct run_row, FIELD_U64, lines, "lines"),
    FIELD_OF(struct run_row, FIELD_BOOL, complete, "complete"),
    FIELD_IF(struct run_row, FIELD_U32, partitions, spread, "partitions"),
    FIELD_OF(struct run_row, FIELD_U64, refused, "refused"),
    FIELD_OF(struct run_row, FIELD_U64, blank, "blank"),
    FIELD_IF(struct run_row, FIELD_U64, attempt, retried, "attempt"),
    FIELD_IF(struct run_row, FIELD_U64, again, retried, "again"),
    FIELD_IF(struct run_row, FIELD_BOOL, retrying, retried, "retrying"),
};
static const struct fields run_row_fields = FIELDS("row of table 'runs'", run_row_list);

int run_row_encode(const struct run_row *r, struct buf *json)
{
    return fields_to_json(&run_row_fields, r, json);
}

int run_row_decode(struct span json, struct run_row *ret, struct err *err)
{
    struct run_row r = {0};
    int rc = fields_from_json(&run_row_fields, json, &r, err);
    if (rc == 0) {
        *ret = r;
    }
    return rc;
}

uint32_t run_partition(const struct run_row *r, uint64_t line)
{
    return r->spread && r->partitions ? (uint32_t)(line % r->partitions) : 0;
}

static const struct field cancel_row_list[] = {
    FIELD_TEXT_OF(struct cancel_row, who, "who"),
    FIELD_TEXT_OF(struct cancel_row, why, "why"),
    FIELD_OF(struct cancel_row, FIELD_I64, time_ms, "time_ms"),
};
static const struct fields cancel_row_fields =
    FIELDS("cancel in table 'runs'", cancel_row_list);

int cancel_row_encode(const struct cancel_row *c, struct buf *json)
{
    return fields_to_json(&cancel_row_fields, c, json);
}

/* ---- budgets ---- */

static const struct field budget_edit_list[] = {
    FIELD_TEXT_OF(struct budget_edit, scope, "scope"),
    FIELD_OF(struct budget_edit, FIELD_U64, edit, "edit"),
    FIELD_IF(struct budget_edit, FIELD_USD, day, has_day, "day"),
    FIELD_IF(struct budget_edit, FIELD_USD, month, has_month, "month"),
    FIELD_IF(struct budget_edit, FIELD_USD, total, has_total, "total"),
    FIELD_OF(struct budget_edit, FIELD_BOOL, paused, "paused"),
    FIELD_TEXT_OF(struct budget_edit, who, "who"),
    FIELD_TEXT_OF(struct budget_edit, why, "why"),
    FIELD_OF(struct budget_edit, FIELD_I64, time_ms, "time_ms"),
};
static const struct fields budget_edit_fields =
    FIELDS("row of table 'budgets'", budget_edit_list);

int budget_edit_encode(const struct budget_edit *b, struct buf *json)
{
    return fields_to_json(&budget_edit_fields, b, json);
}

int budget_edit_decode(struct span json, struct budget_edit *ret, struct err *err)
{
    struct budget_edit b = {0};
    int rc = fields_from_json(&budget_edit_fields, json, &b, err);
    if (rc == 0) {
        *ret = b;
    }
    return rc;
}

/* ---- open ---- */

static const struct field open_row_list[] = {
    FIELD_TEXT_OF(struct open_row, team, "team"),
    FIELD_TEXT_OF(struct open_row, feature, "feature"),
    FIELD_TEXT_OF(struct open_row, run, "run"),
    FIELD_TEXT_OF(struct open_row, model, "model"),
    FIELD_OF(struct open_row, FIELD_U64, attempt, "attempt"),
    FIELD_TEXT_OF(struct open_row, day, "day"),
    FIELD_OF(struct open_row, FIELD_USD, reserved, "reserved"),
    FIELD_OF(struct open_row, FIELD_U64, tokens, "tokens"),
    FIELD_OF(struct open_row, FIELD_U64, tried, "tried"),
    FIELD_OF(struct open_row, FIELD_BOOL, on_run, "on_run"),
};
static const struct fields open_row_fields = FIELDS("row of table 'open'", open_row_list);

int open_row_encode(const struct open_row *o, struct buf *json)
{
    return fields_to_json(&open_row_fields, o, json);
}

int open_row_decode(struct span json, struct open_row *ret, struct err *err)
{
    struct open_row o = {0};
    int rc = fields_from_json(&open_row_fields, json, &o, err);
    if (rc == 0) {
        *ret = o;
    }
    return rc;
}

/* ---- ledger ---- */

static const struct field ledger_row_list[] = {
    FIELD_OF(struct ledger_row, FIELD_SUM, spent, "spent_pico"),
    FIELD_OF(struct ledger_row, FIELD_SUM, in_doubt, "in_doubt_pico"),
    FIELD_OF(struct ledger_row, FIELD_U64, tokens.input, "input_tokens"),
    FIELD_OF(struct ledger_row, FIELD_U64, tokens.cache_read, "cache_read_input_tokens"),
    FIELD_OF(struct ledger_row, FIELD_U64, tokens.cache_write,
             "cache_write_input_tokens"),
    FIELD_OF(struct ledger_row, FIELD_U64, tokens.output, "output_tokens"),
    FIELD_OF(struct ledger_row, FIELD_U64, tokens.reasoning, "reasoning_output_tokens"),
    FIELD_OF(struct ledger_row, FIELD_U64, jobs, "jobs"),
    FIELD_OF(struct ledger_row, FIELD_U64, calls, "calls"),
};
static const struct fields ledger_row_fields =
    FIELDS("row of table 'ledger'", ledger_row_list);

int ledger_row_encode(const struct ledger_row *l, struct buf *json)
{
    return fields_to_json(&ledger_row_fields, l, json);
}

int ledger_row_decode(struct span json, struct ledger_row *ret, struct err *err)
{
    struct ledger_row l = {0};
    int rc = fields_from_json(&ledger_row_fields, json, &l, err);
    if (rc == 0) {
        *ret = l;
    }
    return rc;
}
