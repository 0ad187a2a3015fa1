/* offpeak config: what is in force and why, and the page that lists every setting. */
#include "cli/cli.h"

#include <stdio.h>

#define JSON_MAX ((size_t)6 * CONFIG_VALUE_MAX + 2)

static void print_text(const char *text)
{
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, JSON_MAX);
    buf_add_json(&json, span_str(text ? text : ""));
    fputs(text && json.n ? json.p : "null", stdout);
}

static void print_json(const struct config *config)
{
    struct config_entry e;
    putchar('{');
    for (size_t i = 0; config_at(config, i, &e); i++) {
        printf("%s\"%s\":{\"value\":", i ? "," : "", e.row->key);
        print_text(e.value);
        printf(",\"origin\":");
        print_text(e.origin);
        putchar('}');
    }
    puts("}");
}

static void print_lines(const struct config *config, bool origin)
{
    struct config_entry e;
    for (size_t i = 0; config_at(config, i, &e); i++) {
        printf("%s = %s", e.row->key, e.value ? e.value : "");
        if (origin) {
            printf("  (%s)", e.origin ? e.origin : "unset");
        }
        putchar('\n');
    }
}

/* ---- docs/CONFIG.md ---- */

static void print_row(const struct config_row *row)
{
    char env[CONFIG_ENV_MAX];
    _cleanup_(buf_fini) struct buf may_be;
    buf_init(&may_be, 1000);
    config_describe(row, &may_be);
    printf("| `%s` | ", row->key);
    if (row->deflt) {
        printf("`%s`", row->deflt);
    }
    printf(" | %s | `%s`", may_be.n ? may_be.p : "", config_env_name(row->key, env));
    if (row->env) {
        printf(", `%s`", row->env);
    }
    if (row->flag) {
        printf(", `%s`", row->flag);
    }
    printf(" | %s |\n", row->help);
}

static void print_markdown(const struct config *config)
{
    struct config_entry e;
    const char *section = "";
    printf(
        "# Settings\n\n"
        "Written by `offpeak config --markdown`; `scripts/check` compares.\n\n"
        "Later sources win: the defaults below, `/etc/offpeak/config.yaml`,\n"
        "`$XDG_CONFIG_HOME/offpeak/config.yaml` (`~/.config` without it),\n"
        "`./offpeak.yaml` or the file that `--config` or `OFFPEAK_CONFIG` names, the\n"
        "environment, `--set KEY=VALUE`, other options. Files are YAML; `batch: {poll: 5m}`\n"
        "and `batch.poll: 5m` are the same. `offpeak config show --origin` prints what is in\n"
        "force and where it came from. API keys do not belong here: see [CLI.md](CLI.md).\n");
    for (size_t i = 0; config_at(config, i, &e); i++) {
        if (strcmp(section, e.section)) {
            section = e.section;
            printf("\n## %s\n\n| setting | default | value | set by | meaning |\n"
                   "|---|---|---|---|---|\n",
                   section);
        }
        print_row(e.row);
    }
}

int cmd_config(struct cli *c, struct err *err)
{
    const struct options *o = c->opt;
    if (o->operands_n && strcmp(o->operands[0], "show")) {
        err_set(err, ERR_USAGE, "could not run 'config %s': there is no such command",
                o->operands[0]);
        err_hint(err, "offpeak config show");
        return -ERR_USAGE;
    }
    if (o->markdown) {
        print_markdown(c->set->config);
    } else if (o->json) {
        print_json(c->set->config);
    } else {
        print_lines(c->set->config, o->origin);
    }
    return 0;
}
