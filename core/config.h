/*
 * config.h - one table of options, filled from files, environment, --set and flags.
 *
 * Each folder owns its rows and the struct they fill (batch.* in worker/worker_conf.c); cli/
 * collects the sections and loads them once, before anything runs:
 *
 *     struct config_section sections[] = {worker_conf_section(&worker_conf), ...};
 *     config_create(&c, sections, ARRAY_LEN(sections), err);
 *     config_load(c, &(struct config_sources){.environment = environ, ...}, err);
 *
 * Later sources win: defaults < /etc/offpeak/config.yaml < $XDG_CONFIG_HOME/offpeak/config.yaml
 * < ./offpeak.yaml or the file named by --config or OFFPEAK_CONFIG < environment
 * (OFFPEAK_<KEY>, upper case, dots as _) < --set KEY=VALUE < flags. Files are YAML; nested maps
 * become dotted keys. What is unknown, doubled or out of range is ERR_USAGE with file and line.
 * A value that looks like an API key is refused from every source: keys go into files.
 *
 * The values stand in the owners' structs; strings among them belong to the config and live as
 * long as it does. Units: DURATION is milliseconds, BYTES is bytes, both int64_t.
 */
#ifndef OFFPEAK_CORE_CONFIG_H
#define OFFPEAK_CORE_CONFIG_H

#include "core/buf.h"
#include "core/err.h"
#include <stddef.h>
#include <stdint.h>

#define CONFIG_FILE_BYTES_MAX ((size_t)1 << 20)
#define CONFIG_KEY_MAX        80
#define CONFIG_VALUE_MAX      4096

enum config_type {
    CONFIG_STRING,   /* const char *; NULL without default */
    CONFIG_BOOL,     /* bool: true, false, yes, no, on, off, 1, 0 */
    CONFIG_INT,      /* int64_t */
    CONFIG_DURATION, /* int64_t ms: 200ms, 60s, 5m, 12h, 30d; 0 needs no unit */
    CONFIG_BYTES, /* int64_t: 512, 64kB, 200MB, 1GB, 1TB (thousands), 8KiB, MiB, GiB, TiB */
    CONFIG_USD,   /* struct usd: 12.50 */
    CONFIG_ENUM, /* int: the index of the value in enum_names */
};

struct config_row {
    const char *key; /* "batch.poll" */
    enum config_type type;
    size_t offset;     /* of the field in the section's struct */
    const char *deflt; /* text, as a user would write it; NULL leaves the field alone */
    int64_t min, max;  /* of INT, DURATION and BYTES; both 0: anything from 0 up */
    const char *enum_names; /* "always|deterministic|never" */
    const char *help;       /* one sentence, no full stop */
    const char *env;  /* one more variable that sets it ("OPENAI_BASE_URL"), or NULL */
    const char *flag; /* "--base-url", or NULL; cli/ parses it and hands it in */
};

struct config_section {
    const char *title; /* "Batches": a heading where they are listed */
    const struct config_row *rows;
    size_t n;
    void *base;
};

struct config_flag {
    const char *name; /* as in the row: "--base-url" */
    const char *value;
};

struct config_sources {
    const char *system_file; /* NULL: /etc/offpeak/config.yaml */
    const char
        *config_file; /* --config: must exist; NULL: OFFPEAK_CONFIG, ./offpeak.yaml */
    char *const *environment; /* as `environ`; NULL: none */
    const char *const *sets;  /* KEY=VALUE, each of a --set */
    size_t set_count;
    const struct config_flag *flags;
    size_t flag_count;
};

struct config;

/* Sections and rows are borrowed; the structs behind `base` get the defaults at once. */
int config_create(struct config **ret, const struct config_section *sections, size_t n,
                  struct err *err);
struct config *config_destroy(struct config *c);
int config_load(struct config *c, const struct config_sources *from, struct err *err);

/* One value from one place: `origin` is what messages call it. */
int config_set(struct config *c, const char *key, const char *value, const char *origin,
               struct err *err);
/* One file, which must exist. Lives in config_file.c, as everything about YAML does. */
int config_load_file(struct config *c, const char *path, struct err *err);

/* True for "batch" where there is a "batch.poll". */
bool config_is_section(const struct config *c, const char *key);

/* One option after the other, as the sections have them; false behind the last. */
struct config_entry {
    const char *section;
    const struct config_row *row;
    const char *value; /* as it was written; NULL: unset */
    const char
        *origin; /* "default", "./offpeak.yaml:12", "OFFPEAK_BATCH_POLL", "--set" */
};
bool config_at(const struct config *c, size_t i, struct config_entry *ret);
/* What its value may be: "a duration such as 60s, from 1s to 1h". */
void config_describe(const struct config_row *row, struct buf *out);
/* The variable of the environment that sets it: OFFPEAK_BATCH_POLL. */
#define CONFIG_ENV_MAX (CONFIG_KEY_MAX + 16)
const char *config_env_name(const char *key, char ret[static CONFIG_ENV_MAX]);

#endif
