/* offpeak config: what is in force, and why. */
#include "cli/cli.h"

#include <stdio.h>

#define PAGE_MAX ((size_t)1 << 20)

int cmd_config(struct cli *c, struct err *err)
{
    _cleanup_(buf_fini) struct buf out;
    buf_init(&out, PAGE_MAX);
    if (c->opt->markdown) {
        config_write_markdown(c->set->config, &out);
    } else {
        config_show(c->set->config, &out);
    }
    if (out.failed) {
        return err_set(err, ERR_FAIL, "could not print the configuration: no memory");
    }
    fwrite(out.p, 1, out.n, stdout);
    return 0;
}
