#include "tests/sim/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, NUMBER, WHOLE, FLAG };

#define AT(member) offsetof(struct options, member)

static const struct option {
    const char *name;
    const char *value;
    enum kind kind;
    size_t offset;
    double usual, min, max;
    const char *help;
} table[] = {
    {"--listen", "HOST:PORT", TEXT, AT(listen), 0, 0, 0,
     "IPv4 address to listen on; port 0 takes any free one (127.0.0.1:0)"},
    {"--port-file", "FILE", TEXT, AT(port_file), 0, 0, 0,
     "written with the port, by rename, as soon as requests are taken"},
    {"--speed", "X", NUMBER, AT(speed), 1, 1e-3, 1e9,
     "simulated seconds per real second"},
    {"--faults", "FILE", TEXT, AT(faults), 0, 0, 0,
     "fault script; see tests/sim/README.md"},
    {"--latency-ms", "N", WHOLE, AT(latency_ms), 0, 0, 1e6,
     "every reply waits so long (real)"},
    {"--seed", "N", WHOLE, AT(seed), 1, 0, 1e15,
     "of ids, shuffles and fault probabilities"},
    {"--dir", "DIR", TEXT, AT(dir), 0, 0, 0,
     "where file bodies are kept; without it a private folder, removed at the end"},
    {"--validate-seconds", "S", NUMBER, AT(validate_s), 2, 0, 1e9,
     "a batch is `validating` so long (simulated, as all below in seconds)"},
    {"--batch-seconds", "S", NUMBER, AT(batch_s), 120, 0, 1e9,
     "a batch is `in_progress` so long, and --line-ms for each line"},
    {"--line-ms", "N", NUMBER, AT(line_ms), 1, 0, 1e6, "see --batch-seconds (simulated)"},
    {"--finalize-seconds", "S", NUMBER, AT(finalize_s), 3, 0, 1e9,
     "`finalizing` so long"},
    {"--cancel-seconds", "S", NUMBER, AT(cancel_s), 5, 0, 1e9, "`cancelling` so long"},
    {"--concurrency", "N", WHOLE, AT(concurrency), 8, 1, 50000,
     "lines of one batch that run at the same time"},
    {"--list-lag", "S", NUMBER, AT(list_lag_s), 1, 0, 1e9,
     "a new batch is not in the list for so long"},
    {"--cache-ttl", "S", NUMBER, AT(cache_ttl_s), 300, 0, 1e9,
     "a cached prompt prefix lives so long after its last use"},
    {"--cache-ready", "S", NUMBER, AT(cache_ready_s), 3, 0, 1e9,
     "and can be read so long after the first request with it began"},
    {"--enqueued-tokens", "N", WHOLE, AT(enqueued_tokens), 15e9, 1, 1e15,
     "prompt tokens in unfinished batches, per project and model"},
    {"--max-requests", "N", WHOLE, AT(max_requests), 50000, 1, 50000,
     "lines in one batch"},
    {"--rpm", "N", WHOLE, AT(rpm), 1e9, 1, 1e9,
     "plain requests per real minute and project"},
    {"--tpm", "N", WHOLE, AT(tpm), 1e12, 1, 1e12, "their tokens per real minute"},
    {"--hold", NULL, FLAG, AT(hold), 0, 0, 0,
     "no batch ends and no plain question is answered before POST /sim/go"},
    {"--help", NULL, FLAG, AT(help), 0, 0, 0, "this text"},
};

enum { OPTIONS = sizeof table / sizeof *table };

static void set_defaults(struct options *o)
{
    *o = (struct options){0};
    for (int i = 0; i < OPTIONS; i++) {
        void *to = (char *)o + table[i].offset;
        if (table[i].kind == NUMBER) {
            *(double *)to = table[i].usual;
        } else if (table[i].kind == WHOLE) {
            *(int64_t *)to = (int64_t)table[i].usual;
        }
    }
}

static int set_value(struct options *o, const struct option *row, char *value)
{
    void *to = (char *)o + row->offset;
    if (row->kind == TEXT) {
        *(char **)to = value;
        return 0;
    }
    char *end;
    errno = 0;
    double x = strtod(value, &end);
    if (errno || end == value || *end || !(x >= row->min && x <= row->max) ||
        (row->kind == WHOLE && x != (double)(int64_t)x)) {
        fprintf(stderr,
                "offpeak-sim: could not use %s '%s': it must be %s from %g to %g\n",
                row->name, value, row->kind == WHOLE ? "a whole number" : "a number",
                row->min, row->max);
        return -1;
    }
    if (row->kind == WHOLE) {
        *(int64_t *)to = (int64_t)x;
    } else {
        *(double *)to = x;
    }
    return 0;
}

/* The row of `--name` or `--name=value`; *ret_value is what stands behind the `=`, or NULL. */
static const struct option *find(char *arg, char **ret_value)
{
    size_t n = strcspn(arg, "=");
    *ret_value = arg[n] ? arg + n + 1 : NULL;
    for (int i = 0; i < OPTIONS; i++) {
        if (strlen(table[i].name) == n && !strncmp(arg, table[i].name, n)) {
            return &table[i];
        }
    }
    return NULL;
}

int options_parse(struct options *o, int argc, char **argv)
{
    set_defaults(o);
    for (int i = 1; i < argc; i++) {
        char *value;
        const struct option *row = find(argv[i], &value);
        if (!row) {
            fprintf(stderr,
                    "offpeak-sim: unknown option '%s'\nhint: offpeak-sim --help\n",
                    argv[i]);
            return -1;
        }
        if (row->kind == FLAG) {
            *(bool *)((char *)o + row->offset) = true;
            continue;
        }
        if (!value && i + 1 < argc) {
            value = argv[++i];
        }
        if (!value) {
            fprintf(stderr, "offpeak-sim: %s needs a value: %s\n", row->name, row->value);
            return -1;
        }
        if (set_value(o, row, value) < 0) {
            return -1;
        }
    }
    return 0;
}

void options_help(FILE *out)
{
    fputs(
        "usage: offpeak-sim --listen 127.0.0.1:0 --port-file FILE [options]\n\n"
        "A simulated OpenAI: files, batches and chat completions, with its own invoice at\n"
        "GET /sim/invoice and counters at GET /sim/stats and GET /sim/batches.\n\n",
        out);
    for (int i = 0; i < OPTIONS; i++) {
        fprintf(out, "  %-18s %-9s  %s", table[i].name,
                table[i].value ? table[i].value : "", table[i].help);
        if (table[i].kind == NUMBER || table[i].kind == WHOLE) {
            fprintf(out, " (%.15g)", table[i].usual);
        }
        fputc('\n', out);
    }
}
