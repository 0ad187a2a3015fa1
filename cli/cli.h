/*
 * cli.h - what every command gets, and the table of commands.
 *
 * main takes the secrets out of the environment, finds the command, parses its options, loads the
 * configuration and calls it. A command prints its data on standard output and everything for
 * people on standard error; it returns 0, or a negative exit code with `err` filled in. An error
 * with an empty message has been told already. On a terminal something stands there within 100 ms:
 * a command that cannot promise that says what it is `doing`.
 *
 * To add a command: a file cmd_<name>.c with one function, its declaration and its row in the
 * table in commands.c.
 */
#ifndef OFFPEAK_CLI_CLI_H
#define OFFPEAK_CLI_CLI_H

#include "cli/options.h"
#include "cli/progress.h"
#include "cli/settings.h"
#include "core/err.h"
#include "core/queue.h"
#include "core/secret.h"

#define CLI_INTERRUPTED 130 /* exit codes of signals: 128 + number */
#define CLI_TERMINATED  143
#define CLI_PATH_MAX    4096

/* What main took from the environment. */
struct cli_env {
    char *api_key; /* the string getenv returned; secret_load wipes it */
    const char *api_key_file;
    const char *state_home, *home;
    const char *notify_socket, *watchdog_usec; /* of a service manager */
    bool plain;                                /* NO_COLOR or TERM=dumb */
};

struct cli {
    const struct options *opt;
    struct progress notice; /* what is being done; who prints clears it first */
    const struct settings *set;
    struct cli_env env;
    const char *program;
    char data[CLI_PATH_MAX]; /* the data folder; "" when the command needs none */
};

enum command_needs {
    NEEDS_NOTHING = 0,
    NEEDS_DATA = 1,   /* cli.data is filled in */
    NEEDS_CONFIG = 2, /* cli.set is */
};

struct command {
    const char *name, *operands; /* "FILE|-" */
    const char *what;            /* one line */
    const char *doing;    /* said at once on a terminal; NULL: it speaks by itself */
    const char *examples; /* first on its help page */
    uint64_t takes;       /* OPT bits */
    unsigned needs;
    unsigned operands_min, operands_max;
    int (*run)(struct cli *c, struct err *err);
};

const struct command *command_find(const char *name); /* NULL: none */
const struct command *command_at(unsigned i);         /* by name; NULL behind the last */
const char *command_nearest(const char *name);

int cmd_audit(struct cli *c, struct err *err);
int cmd_budget(struct cli *c, struct err *err);
int cmd_cancel(struct cli *c, struct err *err);
int cmd_cat(struct cli *c, struct err *err);
int cmd_completion(struct cli *c, struct err *err);
int cmd_config(struct cli *c, struct err *err);
int cmd_doctor(struct cli *c, struct err *err);
int cmd_explain(struct cli *c, struct err *err);
int cmd_import(struct cli *c, struct err *err);
int cmd_results(struct cli *c, struct err *err);
int cmd_retry(struct cli *c, struct err *err);
int cmd_run(struct cli *c, struct err *err);
int cmd_scheduler(struct cli *c, struct err *err);
int cmd_spend(struct cli *c, struct err *err);
int cmd_submit(struct cli *c, struct err *err);
int cmd_topics(struct cli *c, struct err *err);
int cmd_watch(struct cli *c, struct err *err);
int cmd_worker(struct cli *c, struct err *err);

/* Whose queue is meant: --team and --feature, or "default". */
const char *cli_team(const struct cli *c);
const char *cli_feature(const struct cli *c);
/* On Kafka instead of a data folder; the folder then only holds what a command copies. */
bool cli_on_broker(const struct cli *c);
/* What is there, opened to read beside its owner (or to write rows): a data folder must be there. */
int cli_open_data(const struct cli *c, struct queue **ret, struct err *err);
/* The same, and a folder is made where there is none. `loop` may be NULL. */
int cli_open_queue(const struct cli *c, struct loop *loop, struct queue **ret,
                   struct err *err);

/* " --data DIR", or " --brokers LIST" and so on: what another command line needs to mean the same
 * place. */
void cli_where(const struct cli *c, struct buf *ret);

#endif
