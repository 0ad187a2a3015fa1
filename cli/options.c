#include "cli/options.h"

#include "core/name.h"

#include <stddef.h>

#define ROW(name_, letter_, arg_, kind_, member_, what_)                      \
    {                                                                         \
        .name = (name_), .letter = (letter_), .arg = (arg_), .what = (what_), \
        .kind = (kind_), .at = offsetof(struct options, member_)              \
    }

const struct option_row option_rows[OPT_IDS] = {
    [OPT_OUT] =
        ROW("out", 'o', "OUT", OPTION_TEXT, out,
            "write the results to this file when all are there; '-': as they come"),
    [OPT_ERRORS] = ROW("errors", 0, "FILE", OPTION_TEXT, errors,
                       "write the lines of jobs that failed to this file instead"),
    [OPT_DATA] =
        ROW("data", 0, "DIR", OPTION_TEXT, data, "data folder [$XDG_STATE_HOME/offpeak]"),
    [OPT_BROKERS] = ROW("brokers", 0, "LIST", OPTION_TEXT, brokers,
                        "Kafka brokers to use instead of a data folder: HOST:PORT,..."),
    [OPT_RUN] = ROW("run", 0, "ID", OPTION_TEXT, run,
                    "name of the run [<file>-<first 8 hex of its SHA-256>]"),
    [OPT_TEAM] = ROW("team", 0, "TEAM", OPTION_TEXT, team, "who pays [default]"),
    [OPT_FEATURE] =
        ROW("feature", 0, "FEATURE", OPTION_TEXT, feature, "what for [default]"),
    [OPT_FIRST] = ROW("first", 0, "N", OPTION_COUNT, first, "take only the first N jobs"),
    [OPT_MAX_COST] =
        ROW("max-cost", 0, "USD", OPTION_USD, max_cost,
            "a hard limit for this run; jobs that no longer fit are cancelled"),
    [OPT_DRY_RUN] = ROW("dry-run", 'n', NULL, OPTION_FLAG, dry_run,
                        "send nothing; say what it would do and cost"),
    [OPT_FRESH] = ROW("fresh", 0, NULL, OPTION_FLAG, fresh,
                      "ignore stored answers; store the new ones"),
    [OPT_REUSE] = ROW("reuse", 0, "WHICH", OPTION_TEXT, reuse,
                      "answers to reuse: always, deterministic or never [always]"),
    [OPT_LANE] =
        ROW("lane", 0, "LANE", OPTION_TEXT, lane,
            "how calls are made: batch, sync or pool (servers of your own) [batch]"),
    [OPT_TEMPLATE] = ROW("template", 0, "FILE", OPTION_TEXT, template,
                         "of a table: the request, with {{column}} where a field goes"),
    [OPT_ID_COLUMN] = ROW("id-column", 0, "COLUMN", OPTION_TEXT, id_column,
                          "of a table: the column that is the custom_id [line number]"),
    [OPT_MODEL] = ROW("model", 0, "MODEL", OPTION_TEXT, model,
                      "the model of requests that name none"),
    [OPT_FORMAT] = ROW("format", 0, "FORMAT", OPTION_TEXT, format,
                       "of the input: jsonl, csv or tsv [by the file's name]"),
    [OPT_WAIT] = ROW("wait", 0, NULL, OPTION_FLAG, wait,
                     "stay until the run is over, also at a closed gate"),
    [OPT_STATE] =
        ROW("state", 0, "DIR", OPTION_TEXT, state,
            "folder to keep between starts [one of its own, removed at the end]"),
    [OPT_PARTITIONS] = ROW("partitions", 0, "N", OPTION_COUNT, partitions,
                           "partitions of a new queue's jobs topic [3]"),
    [OPT_ALLOW] =
        ROW("allow", 0, "ROLE=USER", OPTION_LIST, allow,
            "permissions of a user who is worker, scheduler, producer, reader, bi or "
            "operator; may be repeated"),
    [OPT_SET] = ROW("set", 0, "KEY=VALUE", OPTION_LIST, sets,
                    "set one value of the configuration; may be repeated"),
    [OPT_CONFIG] =
        ROW("config", 0, "FILE", OPTION_TEXT, config, "configuration file (YAML)"),
    [OPT_KEY_FILE] = ROW("key-file", 0, "FILE", OPTION_TEXT, key_file,
                         "read the API key from this file"),
    [OPT_INSECURE] = ROW("insecure", 0, NULL, OPTION_FLAG, insecure,
                         "allow plain http to another machine"),
    [OPT_RECORDS] = ROW("records", 0, NULL, OPTION_FLAG, records,
                        "print the spend records, one JSON object a line"),
    [OPT_IN_DOUBT] =
        ROW("in-doubt", 0, NULL, OPTION_FLAG, in_doubt,
            "list the calls that may have been billed without an answer being seen"),
    [OPT_LIMIT] = ROW("limit", 0, "USD", OPTION_USD, limit, "the most that may be spent"),
    [OPT_PER] = ROW("per", 0, "PERIOD", OPTION_TEXT, per, "day, month or total (UTC)"),
    [OPT_WHY] = ROW("why", 0, "TEXT", OPTION_TEXT, why, "kept with the change"),
    [OPT_FAILED] =
        ROW("failed", 0, NULL, OPTION_FLAG, failed, "only the jobs that did not end ok"),
    [OPT_REJECTED] = ROW("rejected", 0, NULL, OPTION_FLAG, rejected,
                         "the jobs that were rejected, with or without --failed"),
    [OPT_ORDERED] = ROW("ordered", 0, NULL, OPTION_FLAG, ordered,
                        "in the order of the input's lines"),
    [OPT_CSV] =
        ROW("csv", 0, NULL, OPTION_FLAG, csv,
            "as a table: the input's columns, answer, status, cost_usd and error"),
    [OPT_ORIGIN] =
        ROW("origin", 0, NULL, OPTION_FLAG, origin, "say where each value came from"),
    [OPT_MARKDOWN] = ROW("markdown", 0, NULL, OPTION_FLAG, markdown,
                         "print the page that is docs/CONFIG.md"),
    [OPT_INVOICE] =
        ROW("invoice", 0, "FILE", OPTION_TEXT, invoice,
            "a CSV of what the provider billed: batch or request, amount_usd"),
    [OPT_JSON] = ROW("json", 0, NULL, OPTION_FLAG, json, "print one JSON object"),
    [OPT_QUIET] = ROW("quiet", 'q', NULL, OPTION_FLAG, quiet, "print nothing but errors"),
    [OPT_HELP] = ROW("help", 'h', NULL, OPTION_FLAG, help, "print this page"),
};

/* ---- did you mean ---- */

#define NEAR_WORD_MAX 32

/* Edits between two short words (Levenshtein), one row of the table at a time. */
static unsigned edits(const char *a, const char *b)
{
    unsigned row[NEAR_WORD_MAX + 1];
    size_t an = strlen(a), bn = strlen(b);
    if (an > NEAR_WORD_MAX || bn > NEAR_WORD_MAX) {
        return NEAR_WORD_MAX;
    }
    for (unsigned k = 0; k <= bn; k++) {
        row[k] = k;
    }
    for (unsigned i = 1; i <= an; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned k = 1; k <= bn; k++) {
            unsigned replace = diagonal + (a[i - 1] != b[k - 1]);
            diagonal = row[k];
            row[k] = MIN_OF(replace, MIN_OF(row[k], row[k - 1]) + 1);
        }
    }
    return row[bn];
}

const char *options_nearest(const char *word, const char *const *words, unsigned n)
{
    const char *best = NULL;
    unsigned n_word = (unsigned)strlen(word);
    unsigned least = MIN_OF(n_word, 1 + MAX_OF(2u, n_word / 2));
    for (unsigned i = 0; i < n; i++) {
        unsigned distance = edits(word, words[i]);
        if (distance < least) {
            least = distance;
            best = words[i];
        }
    }
    return best;
}

/* ---- parsing ---- */

struct parser {
    int argc, at;
    char *const *argv;
    uint64_t takes;
    struct options *to;
    struct err *err;
};

static int unknown(struct parser *p, const char *arg, size_t name_n)
{
    const char *names[OPT_IDS];
    unsigned n = 0;
    for (unsigned id = 0; id < OPT_IDS; id++) {
        if (p->takes & OPTION_BIT(id)) {
            names[n++] = option_rows[id].name;
        }
    }
    char word[NEAR_WORD_MAX + 1] = "";
    if (name_n > 2 && name_n - 2 <= NEAR_WORD_MAX) {
        memcpy(word, arg + 2, name_n - 2);
    }
    const char *near = options_nearest(word, names, n);
    err_set(p->err, ERR_USAGE, "could not use '%.*s': there is no such option",
            (int)name_n, arg);
    if (near) {
        err_hint(p->err, "did you mean --%s?", near);
    } else {
        err_hint(p->err, "--help lists the options");
    }
    return -ERR_USAGE;
}

/* The row an argument names; sets *ret_value when the value stands in the same word. */
static const struct option_row *find_row(struct parser *p, const char *arg,
                                         const char **ret_value, size_t *ret_name_n)
{
    bool is_long = arg[1] == '-';
    const char *equals = is_long ? strchr(arg, '=') : NULL;
    *ret_name_n = equals ? (size_t)(equals - arg) : strlen(arg);
    for (unsigned id = 0; id < OPT_IDS; id++) {
        const struct option_row *row = &option_rows[id];
        if (!(p->takes & OPTION_BIT(id))) {
            continue;
        }
        if (is_long && span_is(span_of(arg + 2, *ret_name_n - 2), row->name)) {
            *ret_value = equals ? equals + 1 : NULL;
            return row;
        }
        if (!is_long && row->letter && arg[1] == row->letter && (row->arg || !arg[2])) {
            *ret_value = arg[2] ? arg + 2 : NULL;
            return row;
        }
    }
    return NULL;
}

static int bad_value(struct parser *p, const struct option_row *row, const char *value,
                     const char *want)
{
    err_set(p->err, ERR_USAGE, "could not use --%s '%s': it is not %s", row->name, value,
            want);
    return -ERR_USAGE;
}

static int store(struct parser *p, const struct option_row *row, const char *value)
{
    void *at = (char *)p->to + row->at;
    switch (row->kind) {
    case OPTION_FLAG: *(bool *)at = true; return 0;
    case OPTION_TEXT: *(const char **)at = value; return 0;
    case OPTION_COUNT:
        if (span_u64(span_str(value), at) < 0 || *(uint64_t *)at == 0) {
            return bad_value(p, row, value, "a whole number above 0");
        }
        return 0;
    case OPTION_USD: {
        struct option_usd *usd = at;
        usd->given = true;
        if (usd_parse(span_str(value), &usd->value) < 0) {
            return bad_value(p, row, value, "an amount in USD such as 2.50");
        }
        return 0;
    }
    case OPTION_LIST: {
        struct option_list *list = at;
        if (list->n == OPTION_LIST_MAX) {
            return err_set(p->err, ERR_USAGE, "could not use --%s more than %d times",
                           row->name, OPTION_LIST_MAX);
        }
        list->v[list->n++] = value;
        return 0;
    }
    }
    return 0;
}

static int parse_option(struct parser *p)
{
    const char *arg = p->argv[p->at];
    const char *value = NULL;
    size_t name_n;
    const struct option_row *row = find_row(p, arg, &value, &name_n);
    if (!row) {
        return unknown(p, arg, name_n);
    }
    if (!row->arg && value) {
        return err_set(p->err, ERR_USAGE, "could not use '%s': --%s takes no value", arg,
                       row->name);
    }
    if (row->arg && !value) {
        if (p->at + 1 >= p->argc) {
            return err_set(p->err, ERR_USAGE, "could not use --%s: it needs %s",
                           row->name, row->arg);
        }
        value = p->argv[++p->at];
    }
    return store(p, row, value);
}

static int add_operand(struct parser *p, const char *arg)
{
    if (p->to->operands_n == OPTION_OPERANDS_MAX) {
        return err_set(p->err, ERR_USAGE, "could not use '%s': too many arguments", arg);
    }
    p->to->operands[p->to->operands_n++] = arg;
    return 0;
}

static int check_names(const struct options *o, struct err *err)
{
    int rc = o->team ? name_check_team("team", span_str(o->team), err) : 0;
    if (rc >= 0 && o->feature) {
        rc = name_check_team("feature", span_str(o->feature), err);
    }
    if (rc >= 0 && o->run) {
        rc = name_check_run(span_str(o->run), err);
    }
    return rc;
}

int options_parse(int argc, char *const *argv, uint64_t takes, struct options *ret,
                  struct err *err)
{
    struct options o = {0};
    struct parser p = {
        .argc = argc, .argv = argv, .takes = takes | OPT(HELP), .to = &o, .err = err};
    bool only_operands = false;
    for (; p.at < argc; p.at++) {
        const char *arg = argv[p.at];
        int rc;
        if (!only_operands && !strcmp(arg, "--")) {
            only_operands = true;
            continue;
        }
        if (only_operands || arg[0] != '-' || !arg[1]) {
            rc = add_operand(&p, arg);
        } else {
            rc = parse_option(&p);
        }
        if (rc < 0) {
            return rc;
        }
    }
    int rc = check_names(&o, err);
    if (rc >= 0) {
        *ret = o;
    }
    return rc;
}
