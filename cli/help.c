#include "cli/help.h"

#include <stdio.h>

#define COLUMN 24 /* where the meaning of an option begins */

const struct exit_code exit_codes[] = {
    {0, "all is well"},
    {ERR_FAIL, "something that should work did not: a disk, a broken store, a bug"},
    {ERR_USAGE, "the command line or the configuration cannot be meant"},
    {ERR_PARTIAL, "finished, and some jobs failed; of audit: it found differences"},
    {ERR_AUTH, "the provider refuses the key, or there is none"},
    {ERR_TEMP, "try again later: network, quota, another process at work"},
    {ERR_INPUT, "some of the input is not valid"},
    {ERR_VERSION, "the data folder or a record is of another version"},
    {ERR_GATE, "a budget is used up or a gate is closed; the jobs wait"},
    {CLI_INTERRUPTED, "interrupted (Ctrl-C); the same command continues"},
    {CLI_TERMINATED, "terminated (SIGTERM); the same command continues"},
};
const size_t exit_codes_len = ARRAY_LEN(exit_codes);

bool help_takes(const struct command *cmd, unsigned option_id)
{
    return (cmd->takes | OPT(HELP)) & OPTION_BIT(option_id);
}

/* "-o, --out OUT" */
static const char *left_side(const struct option_row *row, char ret[static 48])
{
    char letter[8] = "";
    if (row->letter) {
        snprintf(letter, sizeof(letter), "-%c, ", row->letter);
    }
    snprintf(ret, 48, "%s--%s%s%s", letter, row->name, row->arg ? " " : "",
             row->arg ? row->arg : "");
    return ret;
}

static void usage(const struct command *cmd)
{
    printf("offpeak %s %s%s[options]\n", cmd->name, cmd->operands,
           cmd->operands[0] ? " " : "");
}

/* ---- on the terminal ---- */

void help_command(const struct command *cmd)
{
    printf("offpeak %s: %s\n\n%s\nUsage: ", cmd->name, cmd->what, cmd->examples);
    usage(cmd);
    putchar('\n');
    for (unsigned id = 0; id < OPT_IDS; id++) {
        const struct option_row *row = &option_rows[id];
        char left[48];
        if (help_takes(cmd, id)) {
            printf("  %s%-*s %s\n", row->letter ? "" : "    ",
                   row->letter ? COLUMN : COLUMN - 4, left_side(row, left), row->what);
        }
    }
    if (cmd->needs & NEEDS_CONFIG) {
        printf("\nSettings for --set: offpeak config show\n");
    }
}

void help_overview(void)
{
    printf(
        "offpeak runs a file of LLM jobs through batch APIs, buys equal questions once, and\n"
        "proves where every cent went.\n\n"
        "  offpeak run jobs.jsonl --dry-run\n"
        "  offpeak run jobs.jsonl -o results.jsonl --first 20 --max-cost 0.10\n"
        "  offpeak spend\n\n"
        "Commands:\n");
    const struct command *cmd;
    for (unsigned i = 0; (cmd = command_at(i)); i++) {
        printf("  %-10s %s\n", cmd->name, cmd->what);
    }
    printf(
        "\nMore: offpeak help COMMAND, offpeak --version\n"
        "Key:  OPENAI_API_KEY, OPENAI_API_KEY_FILE or --key-file\n"
        "Exit: 0 all is well, 1 failure, 2 usage, 3 some jobs failed, 4 key, 5 try again\n"
        "      later, 6 bad input, 7 other version, 8 budget or gate, 130 interrupted\n");
}

/* ---- docs/CLI.md ---- */

static void command_section(const struct command *cmd)
{
    printf("\n## offpeak %s\n\n%s\n\n```\n", cmd->name, cmd->what);
    usage(cmd);
    printf("```\n\nExamples:\n\n```\n%s```\n\n| option | meaning |\n|---|---|\n",
           cmd->examples);
    for (unsigned id = 0; id < OPT_IDS; id++) {
        char left[48];
        if (help_takes(cmd, id)) {
            printf("| `%s` | %s |\n", left_side(&option_rows[id], left),
                   option_rows[id].what);
        }
    }
}

void help_markdown(void)
{
    printf(
        "# Commands\n\n"
        "Written by `offpeak help --markdown`; `scripts/check` compares.\n\n"
        "Options come in any order, before or behind the operands; `--name value` and\n"
        "`--name=value` are the same, and `--` ends them. Data goes to standard output,\n"
        "everything for people to standard error. `-` is standard input or output.\n\n"
        "The API key is read from the file that `--key-file` names, else from that of\n"
        "`OPENAI_API_KEY_FILE`, else from `OPENAI_API_KEY`, else from that of the setting\n"
        "`openai.key_file`. `OPENAI_BASE_URL` says where requests go. `NO_COLOR` and\n"
        "`TERM=dumb` switch the progress bar off. Settings: [CONFIG.md](CONFIG.md).\n");
    const struct command *cmd;
    for (unsigned i = 0; (cmd = command_at(i)); i++) {
        command_section(cmd);
    }
    printf(
        "\n## Ctrl-C\n\n"
        "Nothing is lost by it, and the same command continues. While only batches are at the\n"
        "provider a command ends at once. While single calls are under way (`--lane sync`,\n"
        "`--lane pool`) nothing more is sent, and their answers are waited for, `stop.wait` (25 s)\n"
        "at most, because a call whose answer is not seen counts as in doubt. A second Ctrl-C\n"
        "leaves at once. SIGTERM is the same, with another exit code. On Kafka scheduler and\n"
        "workers go on without it.\n"
        "\n## Exit codes\n\n"
        "They will not be renumbered. When several hold, the first of 1, 4, 5, 8, 6, 3.\n\n"
        "| code | meaning |\n|---|---|\n");
    for (unsigned i = 0; i < exit_codes_len; i++) {
        printf("| %d | %s |\n", exit_codes[i].code, exit_codes[i].what);
    }
}
