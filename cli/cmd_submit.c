/* offpeak submit: a file of jobs onto the queue, for somebody else to work off. */
#include "cli/begin.h"
#include "cli/json.h"
#include "cli/next.h"
#include "cli/runs.h"

#include <inttypes.h>
#include <stdio.h>

static void tell(const struct begin *b, const struct session_end *end, enum next_who who)
{
    const struct options *o = b->cli->opt;
    const struct run_row *row = &end->row;
    if (o->json) {
        putchar('{');
        json_text("run", b->file.run);
        json_text("team", cli_team(b->cli));
        json_text("feature", cli_feature(b->cli));
        json_text("lane", lane_name(row->lane));
        json_count("jobs", run_jobs(row));
        json_count("refused", row->refused);
        next_json(b->cli, who, b->file.run);
        printf(",\"exit\":%d}\n", row->refused ? ERR_INPUT : 0);
    } else if (!o->quiet) {
        next_say(b->cli, who, b->file.run);
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
    switch (end->over) {
    case SESSION_DONE: break;
    case SESSION_SIGNAL: return interrupted(b, end, err);
    case SESSION_GATE:
    case SESSION_ACCOUNT:
    case SESSION_FAILED: *err = end->err; return -(int)end->err.code;
    }
    int who = next_who(b->cli, session_queue(b->session), err);
    if (who < 0) {
        return who;
    }
    tell(b, end, (enum next_who)who);
    return judge(b, &end->row, err);
}

static int submit(struct begin *b, struct err *err)
{
    const struct endpoint_need any = {.key = ENDPOINT_KEY_IF_ANY};
    struct session_end end;
    struct session_conf conf = {.cli = b->cli,
                                .endpoint = &b->endpoint,
                                .file = &b->file,
                                .only_queue = true,
                                .progress = &b->progress};
    int rc = begin_open(b, &any, err);
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
