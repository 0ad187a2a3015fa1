/* offpeak submit: a file of jobs onto the queue, for somebody else to work off. */
#include "cli/begin.h"
#include "cli/json.h"
#include "cli/runs.h"

#include <inttypes.h>
#include <stdio.h>

static const char *or_default(const char *name)
{
    return name ? name : "default";
}

/* The command that works it off; nothing is needed when a process is at it. */
static void next_command(const struct begin *b, char *ret, size_t size)
{
    const char *data = b->cli->opt->data;
    bool pool = b->cli->set->cli.lane == LANE_POOL;
    snprintf(ret, size, "offpeak run%s%s%s", data ? " --data " : "", data ? data : "",
             pool ? " --set pool.servers=URL,... --set pool.price=PRICE" : "");
}

static void tell(const struct begin *b, const struct session_end *end, bool worked)
{
    char next[CLI_PATH_MAX + 100];
    const struct options *o = b->cli->opt;
    const struct run_row *row = &end->row;
    next_command(b, next, sizeof(next));
    if (o->json) {
        putchar('{');
        json_text("run", b->file.run);
        json_text("team", or_default(o->team));
        json_text("feature", or_default(o->feature));
        json_text("lane", lane_name(row->lane));
        json_count("jobs", run_jobs(row));
        json_count("refused", row->refused);
        json_text("next", worked ? NULL : next);
        printf("\"owner\":%s,\"exit\":%d}\n", worked ? "true" : "false",
               row->refused ? ERR_INPUT : 0);
    } else if (!o->quiet && worked) {
        fprintf(stderr, "a process works on this data folder and takes them on\n");
    } else if (!o->quiet) {
        fprintf(stderr, "work it off with: %s\n", next);
    }
}

static int judge(const struct begin *b, const struct run_row *row, struct err *err)
{
    if (!row->refused) {
        return 0;
    }
    err_set(err, ERR_INPUT, "%" PRIu64 " of %" PRIu64 " jobs of run '%s' were refused",
            row->refused, run_jobs(row), b->file.run);
    err_hint(err, "they end as rejected; repair those lines and give them as a new run");
    return -ERR_INPUT;
}

static int interrupted(const struct begin *b, const struct session_end *end,
                       struct err *err)
{
    err_set(err, ERR_TEMP, "interrupted; %" PRIu64 " lines of run '%s' are queued",
            end->row.lines, b->file.run);
    if (b->file.has_copy) {
        err_hint(err, "continue with: offpeak submit %s --run %s", b->file.path,
                 b->file.run);
    } else {
        err_hint(err, "the same command continues");
    }
    return -(128 + end->signal);
}

static int finish(const struct begin *b, const struct session_end *end, struct err *err)
{
    _cleanup_(buf_fini) struct buf note;
    buf_init(&note, (size_t)8 << 10);
    switch (end->over) {
    case SESSION_DONE: break;
    case SESSION_SIGNAL: return interrupted(b, end, err);
    case SESSION_GATE:
    case SESSION_ACCOUNT:
    case SESSION_FAILED: *err = end->err; return -(int)end->err.code;
    }
    int owner = queue_owner_read(session_queue(b->session), &note, err);
    if (owner < 0) {
        return owner;
    }
    tell(b, end, owner > 0);
    return judge(b, &end->row, err);
}

static int submit(struct begin *b, struct err *err)
{
    const struct endpoint_need nothing = {.key = false};
    struct session_end end;
    struct session_conf conf = {.cli = b->cli,
                                .endpoint = &b->endpoint,
                                .file = &b->file,
                                .only_queue = true,
                                .progress = &b->progress};
    int rc = begin_open(b, &nothing, err);
    if (rc < 0) {
        return rc;
    }
    begin_introduce(b);
    begin_fill_row(b, &conf.row);
    rc = session_run(b->session, &conf, &end, err);
    return rc < 0 ? rc : finish(b, &end, err);
}

int cmd_submit(struct cli *c, struct err *err)
{
    struct begin b;
    begin_init(&b, c);
    int rc = submit(&b, err);
    begin_close(&b);
    return rc;
}
