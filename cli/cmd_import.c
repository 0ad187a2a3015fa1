/* offpeak import: what was bought elsewhere is not bought again. */
#include "cli/endpoint.h"
#include "cli/import.h"
#include "cli/json.h"
#include "cli/whole.h"
#include "core/clock.h"

#include <inttypes.h>
#include <stdio.h>

static void print_json(const char *team, const char *origin,
                       const struct import_counts *n)
{
    putchar('{');
    json_text("team", team);
    json_text("endpoint", origin);
    json_count("requests", n->requests);
    json_count("answers", n->answers);
    printf("\"left\":{");
    for (int i = 0; i < IMPORT_LEFTS; i++) {
        printf("%s\"%s\":%" PRIu64, i ? "," : "", import_left_name((enum import_left)i),
               n->left[i]);
    }
    printf("},\"taken\":%" PRIu64 "}\n", n->taken);
}

static void tell(const char *team, const char *origin, const struct import_counts *n)
{
    fprintf(stderr, "%" PRIu64 " of %" PRIu64 " answers stored for team '%s' at %s\n",
            n->taken, n->answers, team, origin);
    for (int i = 0; i < IMPORT_LEFTS; i++) {
        if (n->left[i]) {
            fprintf(stderr, "  %" PRIu64 " %s\n", n->left[i],
                    import_left_words((enum import_left)i));
        }
    }
}

/* Answers that cannot be used are usual; files that do not belong together are a mistake. */
static int judge(const struct options *o, const struct import_counts *n, struct err *err)
{
    uint64_t strange = n->left[IMPORT_UNKNOWN] + n->left[IMPORT_BROKEN];
    if (n->requests && n->invalid == n->requests) {
        err_set(err, ERR_INPUT, "could not use '%s': none of its lines is a request",
                o->operands[0]);
    } else if (n->answers && strange == n->answers) {
        err_set(err, ERR_INPUT,
                "could not use '%s': none of its lines answers one of '%s'",
                o->operands[1], o->operands[0]);
    } else if (n->left[IMPORT_BROKEN]) {
        err_set(err, ERR_INPUT, "%" PRIu64 " lines of '%s' could not be read",
                n->left[IMPORT_BROKEN], o->operands[1]);
        return -ERR_INPUT;
    } else {
        return 0;
    }
    err_hint(err, "first the input file of the batch, then its output file");
    return -ERR_INPUT;
}

static int import(const struct cli *c, const struct endpoint *e, struct queue *q,
                  const char *dir, struct err *err)
{
    const struct options *o = c->opt;
    const struct clock clock = clock_real();
    struct import_counts counts;
    const struct import_conf conf = {
        .queue = q,
        .dir = dir,
        .requests = o->operands[0],
        .answers = o->operands[1],
        .max_line = (size_t)c->set->cli.input_max_line,
        .team = cli_team(c),
        .origin = e->origin,
        .prices = price_book_version(e->prices),
        .level = (enum prompt_level)c->set->cli.normalise,
        .now_ms = clock_wall_ms(&clock),
        .ttl_ms = c->set->worker.cache_ttl_ms,
    };
    int rc = import_batch(&conf, &counts, err);
    if (rc < 0) {
        return rc;
    }
    if (o->json) {
        print_json(conf.team, e->origin, &counts);
    } else if (!o->quiet) {
        tell(conf.team, e->origin, &counts);
    }
    return judge(o, &counts, err);
}

static int import_into_folder(const struct cli *c, const struct endpoint *e,
                              struct err *err)
{
    struct queue *q = NULL;
    const struct queue_conf own = {
        .dir = c->data,
        .owner = true,
        .max_bytes = (uint64_t)c->set->cli.data_max_bytes,
    };
    int rc = queue_open(&q, &own, err);
    rc = rc < 0 ? rc : import(c, e, q, c->data, err);
    queue_close(q);
    return rc;
}

static int import_there(const struct cli *c, const struct endpoint *e, struct err *err)
{
    struct whole whole;
    int rc = whole_open(&whole, c, "import", err);
    rc = rc < 0 ? rc : import(c, e, whole.queue, whole.folder.path, err);
    whole_close(&whole);
    return rc;
}

int cmd_import(struct cli *c, struct err *err)
{
    bool there = cli_on_broker(c);
    const struct endpoint_need need = {.key = there ? ENDPOINT_KEY_OTHERS
                                                    : ENDPOINT_KEY_IF_ANY};
    struct endpoint endpoint;
    int rc = endpoint_open(&endpoint, c, &need, err);
    if (rc < 0) {
        return rc;
    }
    if (!c->opt->quiet) {
        fprintf(stderr, "reading '%s' and '%s'\n", c->opt->operands[0],
                c->opt->operands[1]);
    }
    rc = (there ? import_there : import_into_folder)(c, &endpoint, err);
    endpoint_close(&endpoint);
    return rc;
}
