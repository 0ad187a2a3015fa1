#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

bool cli_on_broker(const struct cli *c)
{
    return c->set && broker_is_set(&c->set->broker);
}

const char *cli_team(const struct cli *c)
{
    return c->opt->team ? c->opt->team : "default";
}

const char *cli_feature(const struct cli *c)
{
    return c->opt->feature ? c->opt->feature : "default";
}

void cli_where(const struct cli *c, struct buf *ret)
{
    if (cli_on_broker(c)) {
        broker_words(&c->set->broker, false, ret);
    } else if (c->opt->data) {
        buf_addf(ret, " --data %s", c->opt->data);
    }
}

int cli_open_queue(const struct cli *c, struct loop *loop, struct queue **ret,
                   struct err *err)
{
    struct queue_broker broker;
    struct queue_conf conf = {
        .dir = c->data, .loop = loop, .max_bytes = (uint64_t)c->set->cli.data_max_bytes};
    if (cli_on_broker(c)) {
        broker_queue(&c->set->broker, QUEUE_READER, &broker);
        conf.broker = &broker;
        if (mkdir(c->data, 0700) && errno != EEXIST) {
            return err_set(err, ERR_FAIL, "could not create '%s': %s", c->data,
                           strerror(errno));
        }
    }
    return queue_open(ret, &conf, err);
}

int cli_open_data(const struct cli *c, struct queue **ret, struct err *err)
{
    struct stat st;
    char store[CLI_PATH_MAX + 32];
    snprintf(store, sizeof(store), "%s/queue/data.mdb", c->data);
    if (!cli_on_broker(c) && stat(store, &st)) {
        err_set(err, ERR_USAGE, "could not open data folder '%s': %s", c->data,
                errno == ENOENT ? "nothing has run in it yet" : strerror(errno));
        err_hint(err, "offpeak run FILE fills it; name another one with --data DIR");
        return -ERR_USAGE;
    }
    return cli_open_queue(c, NULL, ret, err);
}
