#include "cli/next.h"

#include "cli/json.h"

#include <stdio.h>

#define NOTE_BYTES_MAX ((size_t)8 << 10)

int next_who(const struct cli *c, struct queue *q, struct err *err)
{
    _cleanup_(buf_fini) struct buf note;
    buf_init(&note, NOTE_BYTES_MAX);
    if (cli_on_broker(c)) {
        return NEXT_DAEMONS;
    }
    int owner = queue_owner_read(q, &note, err);
    return owner <= 0 ? owner : NEXT_OWNER;
}

void next_command(const struct cli *c, const char *run, char ret[static NEXT_MAX])
{
    _cleanup_(buf_fini) struct buf words;
    bool pool = c->set->cli.lane == LANE_POOL;
    buf_init(&words, NEXT_MAX);
    if (cli_on_broker(c)) {
        buf_addf(&words, "offpeak results --run %s -o OUT --wait", run);
    } else {
        buf_adds(&words, "offpeak run");
    }
    cli_where(c, &words);
    if (pool && !cli_on_broker(c)) {
        buf_adds(&words, " --set pool.servers=URL,... --set pool.price=PRICE");
    }
    snprintf(ret, NEXT_MAX, "%s", words.n ? words.p : "");
}

void next_say(const struct cli *c, enum next_who who, const char *run)
{
    char command[NEXT_MAX];
    next_command(c, run, command);
    switch (who) {
    case NEXT_NOBODY: fprintf(stderr, "work it off with: %s\n", command); return;
    case NEXT_OWNER:
        fprintf(stderr, "a process works on this data folder and takes them on\n");
        return;
    case NEXT_DAEMONS:
        fprintf(stderr, "scheduler and workers take them on; wait for them with: %s\n",
                command);
        return;
    }
}

void next_json(const struct cli *c, enum next_who who, const char *run)
{
    static const char *const owners[] = {
        [NEXT_NOBODY] = "false", [NEXT_OWNER] = "true", [NEXT_DAEMONS] = "null"};
    char command[NEXT_MAX];
    next_command(c, run ? run : "", command);
    json_text("next", run && who != NEXT_OWNER ? command : NULL);
    printf("\"owner\":%s", owners[who]);
}
