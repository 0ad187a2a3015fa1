/* offpeak completion: for a shell, from the tables of commands and options (help.h). */
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

/* What may stand behind an option, by the name of its argument. */
static const struct argument {
    const char *arg, *words; /* words NULL: files */
} arguments[] = {
    {"OUT", NULL},
    {"FILE", NULL},
    {"DIR", NULL},
    {"LANE", "batch sync pool"},
    {"WHICH", "always deterministic never"},
    {"PERIOD", "day month total"},
    {"FORMAT", "jsonl csv tsv"},
};

/* NULL: anything. */
static const struct argument *argument_of(const struct option_row *row)
{
    for (size_t i = 0; row->arg && i < ARRAY_LEN(arguments); i++) {
        if (!strcmp(arguments[i].arg, row->arg)) {
            return &arguments[i];
        }
    }
    return NULL;
}

/* "show set pause resume" of "show|set|pause|resume [TEAM]"; "" where files or names stand. */
static const char *operand_words(const struct command *cmd, char ret[static 120])
{
    size_t n = strcspn(cmd->operands, " ");
    ret[0] = '\0';
    if (n < 120 && n == strspn(cmd->operands, "abcdefghijklmnopqrstuvwxyz|") && n) {
        snprintf(ret, 120, "%.*s", (int)n, cmd->operands);
        for (char *c = ret; *c; c++) {
            *c = *c == '|' ? ' ' : *c;
        }
    }
    return ret;
}

/* In single quotes, with `escape` before the characters of `special`. */
static void quoted(const char *text, const char *special)
{
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'') {
            printf("'\\'");
        } else if (strchr(special, *text)) {
            putchar('\\');
        }
        putchar(*text);
    }
    putchar('\'');
}

/* ---- bash ---- */

static void bash_values(void)
{
    printf("    case $prev in\n");
    for (unsigned id = 0; id < OPT_IDS; id++) {
        const struct option_row *row = &option_rows[id];
        const struct argument *a = argument_of(row);
        if (!row->arg) {
            continue;
        }
        printf("        --%s", row->name);
        if (row->letter) {
            printf("|-%c", row->letter);
        }
        if (!a) {
            printf(") return ;;\n");
        } else if (a->words) {
            printf(") COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", a->words);
        } else {
            printf(") compopt -o filenames 2>/dev/null; "
                   "COMPREPLY=($(compgen %s -- \"$cur\")); return ;;\n",
                   !strcmp(row->arg, "DIR") ? "-d" : "-f");
        }
    }
    printf("    esac\n");
}

static void bash_command(const struct command *cmd)
{
    char words[120];
    printf("        %s) words='%s' options='", cmd->name, operand_words(cmd, words));
    for (unsigned id = 0; id < OPT_IDS; id++) {
        if (help_takes(cmd, id)) {
            printf("--%s ", option_rows[id].name);
        }
    }
    printf("' ;;\n");
}

static void bash(void)
{
    const struct command *cmd;
    printf("# bash completion of offpeak: eval \"$(offpeak completion bash)\"\n"
           "_offpeak() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    local words='' options=''\n"
           "    COMPREPLY=()\n"
           "    if ((COMP_CWORD == 1)); then\n"
           "        COMPREPLY=($(compgen -W '");
    for (unsigned i = 0; (cmd = command_at(i)); i++) {
        printf("%s ", cmd->name);
    }
    printf("help --help --version' -- \"$cur\"))\n        return\n    fi\n");
    bash_values();
    printf("    case ${COMP_WORDS[1]} in\n");
    for (unsigned i = 0; (cmd = command_at(i)); i++) {
        bash_command(cmd);
    }
    printf("    esac\n"
           "    if [[ $cur == -* ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
           "    elif [[ $words ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
           "    else\n"
           "        compopt -o filenames 2>/dev/null\n"
           "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
           "    fi\n"
           "}\n"
           "complete -F _offpeak offpeak\n");
}

/* ---- zsh ---- */

static void zsh_option(const struct option_row *row)
{
    const struct argument *a = argument_of(row);
    char text[400];
    printf(" \\\n                ");
    if (row->letter) {
        printf("'(-%c --%s)'{-%c,--%s}", row->letter, row->name, row->letter, row->name);
    } else {
        printf("--%s", row->name);
    }
    snprintf(text, sizeof(text), "[%s]", row->what);
    for (char *c = text + 1; c[0] && c[1]; c++) { /* what would end the description */
        *c = *c == '[' ? '(' : *c == ']' ? ')' : *c;
    }
    quoted(text, "");
    if (row->arg && a && a->words) {
        printf("':%s:(%s)'", row->arg, a->words);
    } else if (row->arg) {
        printf("':%s:%s'", row->arg, a ? "_files" : " ");
    }
}

static void zsh(void)
{
    const struct command *cmd;
    char words[120];
    printf(
        "#compdef offpeak\n"
        "# zsh completion of offpeak: offpeak completion zsh > \"${fpath[1]}/_offpeak\"\n"
        "_offpeak() {\n"
        "    local -a commands=(\n");
    for (unsigned i = 0; (cmd = command_at(i)); i++) {
        char text[400];
        snprintf(text, sizeof(text), "%s:%s", cmd->name, cmd->what);
        printf("        ");
        quoted(text, "");
        putchar('\n');
    }
    printf("    )\n"
           "    if ((CURRENT == 2)); then\n"
           "        _describe command commands\n"
           "        return\n"
           "    fi\n"
           "    local command=$words[2]\n"
           "    shift words\n"
           "    ((CURRENT--))\n"
           "    case $command in\n");
    for (unsigned i = 0; (cmd = command_at(i)); i++) {
        printf("        %s)\n            _arguments", cmd->name);
        for (unsigned id = 0; id < OPT_IDS; id++) {
            if (help_takes(cmd, id)) {
                zsh_option(&option_rows[id]);
            }
        }
        bool fixed = operand_words(cmd, words)[0];
        printf(fixed ? " \\\n                '1:verb:(%s)' ;;\n"
                     : " \\\n                '*:file:_files%s' ;;\n",
               words);
    }
    printf(
        "    esac\n}\n"
        "if [[ $funcstack[1] == _offpeak ]]; then _offpeak \"$@\"; else compdef _offpeak "
        "offpeak; fi\n");
}

/* ---- fish ---- */

static void fish_option(const struct command *cmd, const struct option_row *row)
{
    const struct argument *a = argument_of(row);
    printf("complete -c offpeak -n '__fish_seen_subcommand_from %s' -l %s", cmd->name,
           row->name);
    if (row->letter) {
        printf(" -s %c", row->letter);
    }
    if (row->arg && a && !a->words) {
        printf(" -r -F");
    } else if (row->arg) {
        printf(" -x");
    }
    if (a && a->words) {
        printf(" -a '%s'", a->words);
    }
    printf(" -d ");
    quoted(row->what, "\\");
    putchar('\n');
}

static void fish(void)
{
    const struct command *cmd;
    char words[120];
    printf("# fish completion of offpeak: offpeak completion fish | source\n");
    for (unsigned i = 0; (cmd = command_at(i)); i++) {
        printf("complete -c offpeak -f -n __fish_use_subcommand -a %s -d ", cmd->name);
        quoted(cmd->what, "\\");
        putchar('\n');
        if (operand_words(cmd, words)[0]) {
            printf("complete -c offpeak -f -n '__fish_seen_subcommand_from %s' -a '%s'\n",
                   cmd->name, words);
        }
        for (unsigned id = 0; id < OPT_IDS; id++) {
            if (help_takes(cmd, id)) {
                fish_option(cmd, &option_rows[id]);
            }
        }
    }
}

int cmd_completion(struct cli *c, struct err *err)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    const char *name = c->opt->operands[0];
    for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
        if (!strcmp(shells[i].name, name)) {
            shells[i].print();
            return 0;
        }
    }
    err_set(err, ERR_USAGE, "could not complete for '%s': bash, zsh and fish are known",
            name);
    err_hint(err, "offpeak help completion");
    return -ERR_USAGE;
}
