#include "cli/begin.h"

#include "cli/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

static void say(struct begin *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void say(struct begin *b, const char *fmt, ...)
{
    char text[1000];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    progress_say(&b->progress, clock_mono_ms(&b->clock), NULL, text);
}

void begin_init(struct begin *b, const struct cli *c)
{
    *b = (struct begin){
        .cli = c, .has_file = c->opt->operands_n > 0, .clock = clock_real()};
    b->started_ms = clock_mono_ms(&b->clock);
    progress_init(&b->progress, c->opt->quiet, c->env.plain);
}

static int open_file(struct begin *b, struct err *err)
{
    const struct options *o = b->cli->opt;
    int rc = 0;
    progress_notice(&b->progress, cli_on_broker(b->cli) ? "asking the broker ..."
                                                        : "opening the data folder ...");
    bool copied = b->has_file && infile_name(&b->file, o, clock_wall_ms(&b->clock));
    if (b->has_file && !copied) {
        say(b, "reading '%s'", b->file.label);
        rc = infile_open(&b->file, b->cli, err);
    }
    if (rc >= 0 && o->dry_run && mkdir(b->cli->data, 0700) && errno != EEXIST) {
        rc = err_set(err, ERR_FAIL, "could not create '%s': %s", b->cli->data,
                     strerror(errno));
    }
    if (rc >= 0 && !o->dry_run) {
        rc = session_open(&b->session, b->cli, err);
    }
    if (rc >= 0 && copied) {
        say(b, "run '%s': reading %s", b->file.run, b->file.label);
        rc = infile_open(&b->file, b->cli, err);
    }
    return rc;
}

/* ---- on Kafka ---- */

/* The workers make the calls, with a key and settings of their own. */
static int check_others(const struct cli *c, struct err *err)
{
    if (!c->opt->key_file) {
        return 0;
    }
    err_set(err, ERR_USAGE,
            "could not use --key-file on Kafka: the workers there make the calls, with a "
            "key of their own");
    err_hint(err, "offpeak worker --key-file %s", c->opt->key_file);
    return -ERR_USAGE;
}

/* The queue's topics, where they are not there yet and the broker lets us make them. */
static int make_topics(const struct cli *c, struct err *err)
{
    const struct broker_settings *set = &c->set->broker;
    const struct layout_queue queue = {cli_team(c), cli_feature(c), 0};
    struct kafka_conf conf = broker_kafka(set);
    struct kafka_admin *admin = NULL;
    int rc = kafka_admin_open(&admin, &conf, err) < 0 ? -(int)err->code : 0;
    if (rc >= 0) {
        rc = layout_ensure(admin, set->prefix, &queue, err);
    }
    if (rc == -ERR_FAIL || rc == -ERR_AUTH) {
        _cleanup_(buf_fini) struct buf words;
        buf_init(&words, CLI_PATH_MAX);
        broker_words(set, true, &words);
        err_hint(err,
                 "somebody who may has to run: offpeak topics create --team %s --feature "
                 "%s%s",
                 queue.team, queue.feature, words.n ? words.p : "");
    }
    kafka_admin_destroy(admin);
    return rc;
}

static int open_on_broker(struct begin *b, struct err *err)
{
    const struct endpoint_need others = {.key = ENDPOINT_KEY_OTHERS};
    int rc = check_others(b->cli, err);
    if (rc >= 0) {
        rc = endpoint_open(&b->endpoint, b->cli, &others, err);
    }
    if (rc >= 0) {
        rc = open_file(b, err);
    }
    return rc < 0 || b->cli->opt->dry_run ? rc : make_topics(b->cli, err);
}

int begin_open(struct begin *b, const struct endpoint_need *need, struct err *err)
{
    if (cli_on_broker(b->cli)) {
        return open_on_broker(b, err);
    }
    int rc = endpoint_open(&b->endpoint, b->cli, need, err);
    return rc < 0 ? rc : open_file(b, err);
}

void begin_close(struct begin *b)
{
    session_close(b->session);
    endpoint_close(&b->endpoint);
}

void begin_fill_row(const struct begin *b, struct run_row *row)
{
    const struct options *o = b->cli->opt;
    const struct cli_settings *set = &b->cli->set->cli;
    *row = (struct run_row){
        .lane = (enum lane)set->lane,
        .fresh = o->fresh,
        .level = (enum prompt_level)set->normalise,
        .has_max_cost = o->max_cost.given,
        .max_cost = o->max_cost.value,
        .started_ms = clock_wall_ms(&b->clock),
    };
    snprintf(row->digest, sizeof(row->digest), "%s", b->file.digest.hex);
    bool pool = row->lane == LANE_POOL;
    snprintf(row->endpoint, sizeof(row->endpoint), "%s",
             pool ? b->endpoint.pool.endpoint : b->endpoint.origin);
    snprintf(row->account, sizeof(row->account), "%s", pool ? "" : b->endpoint.account);
    snprintf(row->source, sizeof(row->source), "%s", b->file.label);
    snprintf(row->reuse, sizeof(row->reuse), "%s", reuse_name((enum reuse)set->reuse));
}

static void say_settings_of_workers(struct begin *b)
{
    const struct option_list *sets = &b->cli->opt->sets;
    for (unsigned i = 0; i < sets->n; i++) {
        if (settings_of_worker(sets->v[i])) {
            say(b, "warning: --set %s changes nothing here: it is for offpeak worker",
                sets->v[i]);
        }
    }
}

void begin_introduce(struct begin *b)
{
    const struct submit_digest *d = &b->file.digest;
    if (b->endpoint.key && secret_warning(b->endpoint.key)) {
        say(b, "warning: %s", secret_warning(b->endpoint.key));
    }
    if (cli_on_broker(b->cli)) {
        say_settings_of_workers(b);
    }
    if (b->has_file) {
        bool pool = b->cli->set->cli.lane == LANE_POOL;
        uint64_t jobs = d->lines - d->blank;
        say(b, "run '%s': %" PRIu64 " job%s from '%s' to %s", b->file.run, jobs,
            PLURAL(jobs), b->file.label,
            !pool                       ? b->endpoint.base_url
            : b->endpoint.pool.label[0] ? b->endpoint.pool.label
                                        : b->endpoint.pool.endpoint);
    }
}
