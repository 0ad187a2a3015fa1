#include "cli/cli.h"

#include <string.h>

#define CONFIGURED (OPT(SET) | OPT(CONFIG))
#define COMMON     (OPT(DATA) | OPT(BROKERS) | CONFIGURED)
#define ON_DATA    (NEEDS_DATA | NEEDS_CONFIG)

/* By name: command_at walks them in this order. */
static const struct command commands[] = {
    {
        .name = "audit",
        .operands = "",
        .what = "derive every total again from the records, and say what differs",
        .doing = "reading the records ...",
        .examples =
            "  offpeak audit                        also beside a run that is going\n"
            "  offpeak audit --invoice july.csv     and beside what the provider billed\n"
            "  offpeak audit --json | jq .differences\n"
            "Exit status 0: nothing found; 3: differences, each with its place.\n"
            "With --quiet differences are all it prints.\n",
        .takes = COMMON | OPT(INVOICE) | OPT(JSON) | OPT(QUIET),
        .needs = ON_DATA,
        .run = cmd_audit,
    },
    {
        .name = "budget",
        .operands = "show|set|pause|resume [TEAM[/FEATURE]]",
        .what = "limits: what teams and features may spend, and have spent",
        .doing = "reading the budgets ...",
        .examples =
            "  offpeak budget set search --limit 25 --per day\n"
            "  offpeak budget set search/tags --limit 300 --per month --why 'launch'\n"
            "  offpeak budget pause search --why 'wrong prompt'\n"
            "  offpeak budget show\n"
            "A team without a limit of its own has that of the setting budget.default.\n",
        .takes = COMMON | OPT(LIMIT) | OPT(PER) | OPT(WHY) | OPT(JSON),
        .needs = ON_DATA,
        .operands_min = 1,
        .operands_max = 2,
        .run = cmd_budget,
    },
    {
        .name = "cancel",
        .operands = "",
        .what = "end a run: what was paid for is kept, nothing more is bought",
        .doing = "reading the results of the run ...",
        .examples =
            "  offpeak cancel --run products-1f3a90c2\n"
            "  offpeak cancel --run night-21 --why 'wrong prompt'\n"
            "  offpeak results --run night-21 -o results.jsonl    what there is of it\n"
            "Batches at the provider that no other run needs are cancelled there. A cancelled\n"
            "run stays cancelled; start another with --run NEW.\n",
        .takes = COMMON | OPT(RUN) | OPT(TEAM) | OPT(FEATURE) | OPT(WHY) | OPT(JSON) |
                 OPT(QUIET),
        .needs = ON_DATA,
        .run = cmd_cancel,
    },
    {
        .name = "cat",
        .operands = "[TOPIC|TABLE]",
        .what = "the records of a topic or the rows of a table, one JSON object a line",
        .examples =
            "  offpeak cat                   the names of all topics and tables\n"
            "  offpeak cat spend\n"
            "  offpeak cat batches           the journal: what is at the provider\n",
        .takes = COMMON,
        .needs = ON_DATA,
        .operands_max = 1,
        .run = cmd_cat,
    },
    {
        .name = "completion",
        .operands = "bash|zsh|fish",
        .what = "a script that completes commands and options in your shell",
        .examples = "  eval \"$(offpeak completion bash)\"        in ~/.bashrc\n"
                    "  offpeak completion zsh > \"${fpath[1]}/_offpeak\"\n"
                    "  offpeak completion fish | source\n",
        .operands_min = 1,
        .operands_max = 1,
        .run = cmd_completion,
    },
    {
        .name = "config",
        .operands = "[show]",
        .what = "every setting: its value and where it came from",
        .examples = "  offpeak config show\n"
                    "  offpeak config show --origin --set batch.poll=5m\n",
        .takes = CONFIGURED | OPT(BROKERS) | OPT(REUSE) | OPT(ORIGIN) | OPT(JSON) |
                 OPT(MARKDOWN),
        .needs = NEEDS_CONFIG,
        .operands_max = 1,
        .run = cmd_config,
    },
    {
        .name = "doctor",
        .operands = "",
        .what = "check data folder or Kafka, disk, prices, endpoint and key",
        .examples =
            "  offpeak doctor\n"
            "  offpeak doctor --brokers kafka-1:9092\n"
            "  offpeak doctor --json | jq '.checks[] | select(.finding != \"ok\")'\n",
        .takes = COMMON | OPT(KEY_FILE) | OPT(INSECURE) | OPT(REUSE) | OPT(JSON),
        .needs = ON_DATA,
        .run = cmd_doctor,
    },
    {
        .name = "explain",
        .operands = "JOB|CUSTOM_ID",
        .what = "one job: where it stands, and every number of its cost",
        .doing = "looking for the job ...",
        .examples =
            "  offpeak explain sku-88172 --run products-1f3a90c2\n"
            "  offpeak explain search.tags/0/17/1795279027258    the id in its result\n"
            "  offpeak explain sku-88172 --json | jq .charges\n",
        .takes = COMMON | OPT(RUN) | OPT(TEAM) | OPT(FEATURE) | OPT(JSON),
        .needs = ON_DATA,
        .operands_min = 1,
        .operands_max = 1,
        .run = cmd_explain,
    },
    {
        .name = "import",
        .operands = "REQUESTS ANSWERS",
        .what = "take over the answers of an OpenAI batch that ran elsewhere",
        .examples =
            "  offpeak import batch-input.jsonl batch-output.jsonl\n"
            "  offpeak import input.jsonl.gz output.jsonl.gz --team search\n"
            "  offpeak run batch-input.jsonl --team search      buys only what is missing\n"
            "Answers are stored for the team and the endpoint that is set now. On Kafka all\n"
            "workers are stopped before, and started again: they own what is stored.\n",
        .takes = COMMON | OPT(TEAM) | OPT(INSECURE) | OPT(JSON) | OPT(QUIET),
        .needs = ON_DATA,
        .operands_min = 2,
        .operands_max = 2,
        .run = cmd_import,
    },
    {
        .name = "results",
        .operands = "",
        .what = "write the results of a run, also while it is going",
        .doing = "reading the results of the run ...",
        .examples = "  offpeak results --run products-1f3a90c2 -o results.jsonl\n"
                    "  offpeak results --run products-1f3a90c2 -o - | jq .offpeak\n"
                    "  offpeak results --run products-1f3a90c2 --csv -o products.csv\n"
                    "  offpeak results --run products-1f3a90c2 --failed\n"
                    "  offpeak results --run night-21 -o results.jsonl --wait\n",
        .takes = COMMON | OPT(WAIT) | OPT(RUN) | OPT(TEAM) | OPT(FEATURE) | OPT(OUT) |
                 OPT(ERRORS) | OPT(FAILED) | OPT(ORDERED) | OPT(CSV) | OPT(QUIET),
        .needs = ON_DATA,
        .run = cmd_results,
    },
    {
        .name = "retry",
        .operands = "",
        .what = "queue the jobs of a run that failed once more, and no others",
        .doing = "reading the results of the run ...",
        .examples =
            "  offpeak retry --failed --run products-1f3a90c2\n"
            "  offpeak retry --rejected --run products-1f3a90c2   after a price was added\n"
            "  offpeak run                                        works them off\n"
            "The results of the new attempt replace those of the one before.\n",
        .takes = COMMON | OPT(RUN) | OPT(TEAM) | OPT(FEATURE) | OPT(FAILED) |
                 OPT(REJECTED) | OPT(JSON) | OPT(QUIET),
        .needs = ON_DATA,
        .run = cmd_retry,
    },
    {
        .name = "run",
        .operands = "[FILE...|-]",
        .what = "take a file of OpenAI batch lines all the way to results",
        .examples =
            "  offpeak run jobs.jsonl --dry-run              what would it cost\n"
            "  offpeak run jobs.jsonl -o results.jsonl --first 20 --max-cost 0.10\n"
            "  zcat jobs.jsonl.gz | offpeak run - -o results.jsonl\n"
            "  offpeak run                                   work off whatever waits\n"
            "Stopped in any way, the same command continues where it was. On Kafka it submits,\n"
            "waits for scheduler and workers, and writes what they answer.\n",
        .takes = COMMON | OPT(OUT) | OPT(ERRORS) | OPT(RUN) | OPT(TEAM) | OPT(FEATURE) |
                 OPT(FIRST) | OPT(MAX_COST) | OPT(DRY_RUN) | OPT(FRESH) | OPT(REUSE) |
                 OPT(LANE) | OPT(WAIT) | OPT(KEY_FILE) | OPT(INSECURE) | OPT(TEMPLATE) |
                 OPT(ID_COLUMN) | OPT(MODEL) | OPT(FORMAT) | OPT(JSON) | OPT(QUIET),
        .needs = ON_DATA,
        .operands_max = OPTION_OPERANDS_MAX,
        .run = cmd_run,
    },
    {
        .name = "scheduler",
        .operands = "",
        .what =
            "on Kafka: let jobs through as budgets allow; one is active, others stand by",
        .examples =
            "  offpeak scheduler --brokers kafka-1:9092 --state /var/lib/offpeak/scheduler\n"
            "  offpeak scheduler --brokers kafka-1:9092 --set budget.default=25/day\n"
            "A queue waits until it has a limit: `offpeak budget set`, or budget.default.\n"
            "SIGTERM ends it, SIGHUP loads configuration and prices again.\n",
        .takes = CONFIGURED | OPT(BROKERS) | OPT(STATE) | OPT(INSECURE) | OPT(QUIET),
        .needs = ON_DATA,
        .run = cmd_scheduler,
    },
    {
        .name = "spend",
        .operands = "",
        .what = "what was paid, what it would have cost, and what saved the difference",
        .doing = "adding up ...",
        .examples =
            "  offpeak spend\n"
            "  offpeak spend --run products-1f3a90c2\n"
            "  offpeak spend --in-doubt      calls that may have been billed unseen\n"
            "  offpeak spend --records > spend.jsonl\n",
        .takes = COMMON | OPT(RUN) | OPT(TEAM) | OPT(FEATURE) | OPT(JSON) | OPT(RECORDS) |
                 OPT(IN_DOUBT),
        .needs = ON_DATA,
        .run = cmd_spend,
    },
    {
        .name = "submit",
        .operands = "FILE...|-",
        .what = "put a file of jobs on the queue, for others to work off",
        .examples =
            "  offpeak submit jobs.jsonl --team search --feature tags\n"
            "  zcat jobs.jsonl.gz | offpeak submit - --run night-21\n"
            "  offpeak run                                   works off whatever waits\n"
            "No key is needed. Stopped in any way, the same command continues.\n",
        .takes = COMMON | OPT(RUN) | OPT(TEAM) | OPT(FEATURE) | OPT(FIRST) |
                 OPT(MAX_COST) | OPT(FRESH) | OPT(REUSE) | OPT(LANE) | OPT(KEY_FILE) |
                 OPT(TEMPLATE) | OPT(ID_COLUMN) | OPT(MODEL) | OPT(FORMAT) |
                 OPT(INSECURE) | OPT(JSON) | OPT(QUIET),
        .needs = ON_DATA,
        .operands_min = 1,
        .operands_max = OPTION_OPERANDS_MAX,
        .run = cmd_submit,
    },
    {
        .name = "topics",
        .operands = "create|check|describe",
        .what = "the topics on a Kafka broker: make them, compare them, list them",
        .doing = "asking the broker ...",
        .examples =
            "  offpeak topics create --brokers kafka-1:9092\n"
            "  offpeak topics create --team search --feature tags --partitions 6\n"
            "  offpeak topics create --allow worker=User:offpeak-worker -n\n"
            "  offpeak topics create --team search --allow producer=User:search-app\n"
            "  offpeak topics check                  exit code 1 when something differs\n"
            "  offpeak topics describe --team search --feature tags\n"
            "create makes what is missing and sets right what is wrong; what is there keeps\n"
            "its partitions and its records. With -n it prints the commands instead.\n",
        .takes = OPT(BROKERS) | CONFIGURED | OPT(TEAM) | OPT(FEATURE) | OPT(PARTITIONS) |
                 OPT(ALLOW) | OPT(DRY_RUN) | OPT(JSON),
        .needs = NEEDS_CONFIG,
        .operands_min = 1,
        .operands_max = 1,
        .run = cmd_topics,
    },
    {
        .name = "watch",
        .operands = "",
        .what = "see runs, batches and money as they change, and why something waits",
        .doing = "reading the data folder ...",
        .examples =
            "  offpeak watch                      until q or Ctrl-C\n"
            "  offpeak watch --run night-21       until that run is over\n"
            "  offpeak watch --json               once, for programs\n"
            "It only looks. On a terminal it refreshes in place; elsewhere, and with NO_COLOR,\n"
            "it prints a line for each change.\n",
        .takes = COMMON | OPT(RUN) | OPT(TEAM) | OPT(FEATURE) | OPT(JSON),
        .needs = ON_DATA,
        .run = cmd_watch,
    },
    {
        .name = "worker",
        .operands = "",
        .what = "on Kafka: answer a share of the jobs; start as many as you like",
        .examples =
            "  offpeak worker --brokers kafka-1:9092 --state /var/lib/offpeak/worker-1\n"
            "  offpeak worker --brokers kafka-1:9092 --set health.listen=127.0.0.1:8642\n"
            "SIGTERM lets calls under way finish (stop.wait) and ends it; batches go on at\n"
            "the provider and whoever has its share next fetches them. SIGHUP loads\n"
            "configuration, key file and prices again.\n",
        .takes = CONFIGURED | OPT(BROKERS) | OPT(STATE) | OPT(KEY_FILE) | OPT(INSECURE) |
                 OPT(QUIET),
        .needs = ON_DATA,
        .run = cmd_worker,
    },
};

const struct command *command_at(unsigned i)
{
    return i < ARRAY_LEN(commands) ? &commands[i] : NULL;
}

const struct command *command_find(const char *name)
{
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        if (!strcmp(commands[i].name, name)) {
            return &commands[i];
        }
    }
    return NULL;
}

const char *command_nearest(const char *name)
{
    const char *names[ARRAY_LEN(commands)];
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        names[i] = commands[i].name;
    }
    return options_nearest(name, names, ARRAY_LEN(names));
}
