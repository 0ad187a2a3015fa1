#include "cli/settings.h"

#include "cli/options.h"

static const char *const reuse_names[] = {
    [REUSE_ALWAYS] = "always",
    [REUSE_DETERMINISTIC] = "deterministic",
    [REUSE_NEVER] = "never",
};

const char *reuse_name(enum reuse r)
{
    return reuse_names[r];
}

#define AT(member) offsetof(struct cli_settings, member)

static const struct config_row cli_rows[] = {
    {
        .key = "openai.base_url",
        .type = CONFIG_STRING,
        .offset = AT(base_url),
        .deflt = "https://api.openai.com/v1",
        .help = "where requests go",
        .env = "OPENAI_BASE_URL",
    },
    {
        .key = "openai.key_file",
        .type = CONFIG_STRING,
        .offset = AT(key_file),
        .help = "file that holds the API key; --key-file, OPENAI_API_KEY_FILE and "
                "OPENAI_API_KEY come before it",
    },
    {
        .key = "prices.file",
        .type = CONFIG_STRING,
        .offset = AT(prices_file),
        .help = "price book to use instead of the one in the program",
    },
    {
        .key = "lane",
        .type = CONFIG_ENUM,
        .offset = AT(lane),
        .deflt = "batch",
        .enum_names = "batch|sync|pool",
        .help =
            "how the calls of a new run are made: the provider's batch API, one by one, "
            "or on servers of your own",
        .flag = "--lane",
    },
    {
        .key = "reuse",
        .type = CONFIG_ENUM,
        .offset = AT(reuse),
        .deflt = "always",
        .enum_names = "always|deterministic|never",
        .help =
            "answers that may be reused: all, those asked for at temperature 0, or none",
        .flag = "--reuse",
    },
    {
        .key = "normalise",
        .type = CONFIG_ENUM,
        .offset = AT(normalise),
        .deflt = "L1",
        .enum_names = "L0|L1",
        .help =
            "what makes two requests equal: the same JSON (L0), or also line ends, Unicode "
            "form and fields that cannot change the answer (L1)",
    },
    {
        .key = "input.max_line",
        .type = CONFIG_BYTES,
        .offset = AT(input_max_line),
        .deflt = "8MiB",
        .min = 64 << 10,
        .max = 60 << 20,
        .help = "longest line of a job file; a longer one is rejected",
    },
    {
        .key = "data.max_bytes",
        .type = CONFIG_BYTES,
        .offset = AT(data_max_bytes),
        .deflt = "0",
        .help = "most the data folder's store may hold; 0 leaves it to the disk",
    },
    {
        .key = "stop.wait",
        .type = CONFIG_DURATION,
        .offset = AT(stop_wait_ms),
        .deflt = "25s",
        .max = (int64_t)24 * 3600 * 1000,
        .help =
            "after Ctrl-C or SIGTERM: how long to wait for the answers of single calls "
            "that are under way",
    },
    {
        .key = "health.listen",
        .type = CONFIG_STRING,
        .offset = AT(health_listen),
        .help = "ADDRESS:PORT where `offpeak worker` and `offpeak scheduler` answer "
                "/healthz and /readyz; nowhere by default",
    },
    {
        .key = "http.connections",
        .type = CONFIG_INT,
        .offset = AT(connections),
        .deflt = "8",
        .min = 1,
        .max = 256,
        .help = "connections to the provider at a time",
    },
    {
        .key = "http.ca_file",
        .type = CONFIG_STRING,
        .offset = AT(ca_file),
        .help = "certificates to trust instead of the system's",
    },
    {
        .key = "http.proxy",
        .type = CONFIG_STRING,
        .offset = AT(proxy),
        .help = "proxy to use; the proxy variables of the environment are not read",
    },
};

static const struct config_row pool_rows[] = {
    {
        .key = "pool.servers",
        .type = CONFIG_STRING,
        .offset = AT(pool_servers),
        .help = "addresses of OpenAI-compatible servers, with commas between",
    },
    {
        .key = "pool.price",
        .type = CONFIG_STRING,
        .offset = AT(pool_price),
        .help = "what they cost: free, or INPUT/CACHED/OUTPUT in USD per million tokens",
    },
    {
        .key = "pool.name",
        .type = CONFIG_STRING,
        .offset = AT(pool_name),
        .deflt = "default",
        .help = "pools of one name share stored answers: give pools that answer "
                "differently different names",
    },
    {
        .key = "pool.key_file",
        .type = CONFIG_STRING,
        .offset = AT(pool_key_file),
        .help = "file that holds the key the servers ask for; none by default",
    },
    {
        .key = "pool.context_tokens",
        .type = CONFIG_INT,
        .offset = AT(pool_context_tokens),
        .deflt = "131072",
        .min = 1,
        .max = 100000000,
        .help = "the longest prompt they read, for the bound of a call with images",
    },
    {
        .key = "pool.max_output_tokens",
        .type = CONFIG_INT,
        .offset = AT(pool_output_tokens),
        .deflt = "4096",
        .min = 1,
        .max = 100000000,
        .help = "the longest answer they give to a call without an output limit",
    },
};

static int load(struct settings *s, const struct options *o, char *const *environment,
                struct err *err)
{
    struct config_flag flags[3];
    size_t n = 0;
    if (o->reuse) {
        flags[n++] = (struct config_flag){"--reuse", o->reuse};
    }
    if (o->lane) {
        flags[n++] = (struct config_flag){"--lane", o->lane};
    }
    if (o->brokers) {
        flags[n++] = (struct config_flag){"--brokers", o->brokers};
    }
    struct config_sources from = {
        .config_file = o->config,
        .environment = environment,
        .sets = o->sets.v,
        .set_count = o->sets.n,
        .flags = flags,
        .flag_count = n,
    };
    return config_load(s->config, &from, err);
}

int settings_load(struct settings *ret, const struct options *o, char *const *environment,
                  struct err *err)
{
    *ret = (struct settings){
        .sections = {
            {"Provider, prices and input", cli_rows, ARRAY_LEN(cli_rows), &ret->cli},
            {"Servers of your own", pool_rows, ARRAY_LEN(pool_rows), &ret->cli},
            {"Kafka", broker_rows, broker_rows_len, &ret->broker},
            {"Admission", scheduler_config_rows, scheduler_config_rows_len,
             &ret->scheduler},
            {"Batches and storage", worker_config_rows, worker_config_rows_len,
             &ret->worker},
        }};
    int rc = config_create(&ret->config, ret->sections, ARRAY_LEN(ret->sections), err);
    if (rc >= 0) {
        rc = load(ret, o, environment, err);
    }
    if (rc >= 0) {
        rc = broker_check(&ret->broker, err);
    }
    if (rc >= 0) {
        rc = scheduler_check(&ret->scheduler, err);
    }
    if (rc < 0) {
        settings_fini(ret);
        if (!err->hint[0]) {
            err_hint(err, "offpeak config show lists the settings");
        }
    }
    return rc;
}

bool settings_of_worker(const char *set)
{
    size_t n = strcspn(set, "=");
    for (size_t i = 0; i < worker_config_rows_len; i++) {
        if (span_is(span_of(set, n), worker_config_rows[i].key)) {
            return true;
        }
    }
    return span_is(span_of(set, n), "pool.servers");
}

void settings_fini(struct settings *s)
{
    s->config = config_destroy(s->config);
}
