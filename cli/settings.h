/*
 * settings.h - every value of the configuration, of every folder, loaded once.
 *
 * settings_load collects the sections of the roles and of cli/ and fills the structs below from
 * files, environment, --set and flags (core/config.h). Nothing changes afterwards.
 */
#ifndef OFFPEAK_CLI_SETTINGS_H
#define OFFPEAK_CLI_SETTINGS_H

#include "cli/broker.h"
#include "core/config.h"
#include "core/prompt.h"
#include "scheduler/scheduler.h"
#include "worker/worker.h"

enum reuse { REUSE_ALWAYS, REUSE_DETERMINISTIC, REUSE_NEVER };
const char *reuse_name(enum reuse r);

struct cli_settings {
    const char *base_url, *key_file, *prices_file, *ca_file, *proxy;
    const char *health_listen;
    const char *pool_servers, *pool_price, *pool_name, *pool_key_file;
    int64_t pool_context_tokens, pool_output_tokens;
    int lane;      /* enum lane */
    int reuse;     /* enum reuse */
    int normalise; /* enum prompt_level */
    int64_t connections, input_max_line, data_max_bytes, stop_wait_ms;
};

struct settings {
    struct config *config;
    struct config_section
        sections[5]; /* the config borrows them: settings stay where they are */
    struct cli_settings cli;
    struct broker_settings broker;
    struct scheduler_settings scheduler;
    struct worker_settings worker;
};

struct options;

/* `environment` as environ; NULL: as if it were empty. */
int settings_load(struct settings *ret, const struct options *o, char *const *environment,
                  struct err *err);
void settings_fini(struct settings *s);
/* Does "KEY=VALUE" set what `offpeak worker` alone goes by? */
bool settings_of_worker(const char *set);

#endif
