/*
 * options.h - what may stand on a command line: one table, one struct.
 *
 * Every option of every command is a row in options.c: name, letter, argument, kind, where its
 * value goes. A command says with a set of OPT bits which it takes. Flags come in any order, before
 * or behind the operands; `--name value`, `--name=value` and `-o value` are the same; `--` ends
 * them. To add an option: a bit here, a member below, a row in the table, the bit in its commands.
 *
 * All texts are borrowed from argv. Errors are ERR_USAGE, with a hint that names the nearest
 * thing that exists.
 */
#ifndef OFFPEAK_CLI_OPTIONS_H
#define OFFPEAK_CLI_OPTIONS_H

#include "core/err.h"
#include "core/money.h"
#include <stdint.h>

enum option_id {
    OPT_OUT,
    OPT_ERRORS,
    OPT_DATA,
    OPT_BROKERS,
    OPT_STATE,
    OPT_RUN,
    OPT_TEAM,
    OPT_FEATURE,
    OPT_FIRST,
    OPT_MAX_COST,
    OPT_DRY_RUN,
    OPT_FRESH,
    OPT_REUSE,
    OPT_LANE,
    OPT_TEMPLATE,
    OPT_ID_COLUMN,
    OPT_MODEL,
    OPT_FORMAT,
    OPT_REJECTED,
    OPT_WAIT,
    OPT_PARTITIONS,
    OPT_ALLOW,
    OPT_SET,
    OPT_CONFIG,
    OPT_KEY_FILE,
    OPT_INSECURE,
    OPT_RECORDS,
    OPT_IN_DOUBT,
    OPT_LIMIT,
    OPT_PER,
    OPT_WHY,
    OPT_FAILED,
    OPT_ORDERED,
    OPT_CSV,
    OPT_ORIGIN,
    OPT_MARKDOWN,
    OPT_INVOICE,
    OPT_JSON,
    OPT_QUIET,
    OPT_HELP,
    OPT_IDS,
};
#define OPT(name)      OPTION_BIT(OPT_##name)
#define OPTION_BIT(id) ((uint64_t)1 << (id))

#define OPTION_LIST_MAX     64
#define OPTION_OPERANDS_MAX 256

struct option_usd {
    bool given;
    struct usd value;
};

struct option_list {
    const char *v[OPTION_LIST_MAX];
    unsigned n;
};

struct options {
    const char *out, *errors, *data, *brokers, *state, *run, *team, *feature;
    uint64_t first, partitions;
    struct option_usd max_cost, limit;
    bool dry_run, fresh, wait, insecure, records, in_doubt, origin, markdown, json, quiet,
        help;
    bool failed, rejected, ordered, csv;
    const char *template, *id_column, *model, *format;
    const char *invoice;
    const char *reuse, *lane, *config, *key_file, *per, *why;
    struct option_list sets, allow;
    const char *operands[OPTION_OPERANDS_MAX];
    unsigned operands_n;
};

struct option_row {
    const char *name;
    char letter;     /* 0: none */
    const char *arg; /* NULL: a flag */
    const char *what;
    enum { OPTION_FLAG, OPTION_TEXT, OPTION_COUNT, OPTION_USD, OPTION_LIST } kind;
    uint16_t at; /* in struct options */
};
extern const struct option_row option_rows[OPT_IDS];

/* argv without the program's and the command's name. */
int options_parse(int argc, char *const *argv, uint64_t takes, struct options *ret,
                  struct err *err);
/* The word of `words` nearest to `word`, or NULL when none is near: "did you mean". */
const char *options_nearest(const char *word, const char *const *words, unsigned n);

#endif
