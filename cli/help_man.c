/* The manual pages, from the tables of commands and options (help.h). */
#include "cli/help.h"

#include <ctype.h>
#include <stdio.h>

/* Text that must not be taken for a request or an escape of roff. */
static void roff(const char *text)
{
    for (bool begins = true; *text; text++) {
        if (begins && (*text == '.' || *text == '\'')) {
            printf("\\&");
        }
        begins = *text == '\n';
        if (*text == '\\') {
            printf("\\e");
        } else if (*text == '-') {
            printf("\\-");
        } else {
            putchar(*text);
        }
    }
}

static void title(const char *name)
{
    printf(".TH OFFPEAK");
    if (name) {
        putchar('-');
        for (; *name; name++) {
            putchar(toupper((unsigned char)*name));
        }
    }
    printf(" 1 \"\" \"offpeak %s\" \"User Commands\"\n.SH NAME\n", OFFPEAK_VERSION);
}

static void option(const struct option_row *row)
{
    printf(".TP\n");
    if (row->letter) {
        printf("\\fB\\-%c\\fR, ", row->letter);
    }
    printf("\\fB\\-\\-");
    roff(row->name);
    printf("\\fR");
    if (row->arg) {
        printf(" \\fI%s\\fR", row->arg);
    }
    putchar('\n');
    roff(row->what);
    putchar('\n');
}

static void exit_codes_section(void)
{
    printf(".SH EXIT STATUS\n");
    for (size_t i = 0; i < exit_codes_len; i++) {
        printf(".TP\n.B %d\n", exit_codes[i].code);
        roff(exit_codes[i].what);
        putchar('\n');
    }
}

static void command_page(const struct command *cmd)
{
    title(cmd->name);
    printf("offpeak\\-%s \\- ", cmd->name);
    roff(cmd->what);
    printf("\n.SH SYNOPSIS\n.B offpeak %s\n", cmd->name);
    roff(cmd->operands);
    printf(" [options]\n.SH EXAMPLES\n.nf\n");
    roff(cmd->examples);
    printf(".fi\n.SH OPTIONS\n");
    for (unsigned id = 0; id < OPT_IDS; id++) {
        if (help_takes(cmd, id)) {
            option(&option_rows[id]);
        }
    }
    exit_codes_section();
    printf(".SH SEE ALSO\n.BR offpeak (1)\n");
}

static void first_page(void)
{
    const struct command *cmd;
    title(NULL);
    printf("offpeak \\- run files of LLM jobs through batch APIs, and prove every cent\n"
           ".SH SYNOPSIS\n.B offpeak\nCOMMAND [options]\n.SH COMMANDS\n");
    for (unsigned i = 0; (cmd = command_at(i)); i++) {
        printf(".TP\n.BR offpeak\\-%s (1)\n", cmd->name);
        roff(cmd->what);
        putchar('\n');
    }
    printf(".SH ENVIRONMENT\n"
           ".TP\n.B OPENAI_API_KEY, OPENAI_API_KEY_FILE\nthe key, or the file it is in\n"
           ".TP\n.B OPENAI_BASE_URL\nwhere requests go\n"
           ".TP\n.B NO_COLOR\nno progress bar, no colours\n");
    exit_codes_section();
}

void help_man(const struct command *cmd)
{
    if (cmd) {
        command_page(cmd);
    } else {
        first_page();
    }
}
