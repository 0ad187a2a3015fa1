/*
 * help.h - what the program says about itself, from the tables of commands and options.
 */
#ifndef OFFPEAK_CLI_HELP_H
#define OFFPEAK_CLI_HELP_H

#include "cli/cli.h"

void help_overview(void);
void help_command(const struct command *cmd);
void help_markdown(void);                 /* docs/CLI.md */
void help_man(const struct command *cmd); /* roff; NULL: the first page, offpeak(1) */

bool help_takes(const struct command *cmd, unsigned option_id);

/* Frozen: scripts depend on them. When several hold, the first of 1, 4, 5, 8, 6, 3. */
struct exit_code {
    int code;
    const char *what;
};
extern const struct exit_code exit_codes[];
extern const size_t exit_codes_len;

#endif
