#include "cli/daemon_reload.h"

#include <stdlib.h>

extern char **environ;

struct settings *daemon_reload_forget(struct settings *own)
{
    if (own) {
        settings_fini(own);
        free(own);
    }
    return NULL;
}

int daemon_reload(struct cli *c, struct endpoint *e, struct settings **own,
                  struct err *err)
{
    struct settings *next = calloc(1, sizeof(*next));
    const struct settings *before = c->set;
    if (!next) {
        return err_set(err, ERR_FAIL, "could not load the configuration: no memory");
    }
    int rc = settings_load(next, c->opt, environ, err);
    if (rc < 0) {
        free(next);
        return rc;
    }
    c->set = next;
    rc = endpoint_reopen(e, c, err);
    if (rc < 0) {
        c->set = before;
        daemon_reload_forget(next);
        return rc;
    }
    daemon_reload_forget(*own);
    *own = next;
    return 0;
}
