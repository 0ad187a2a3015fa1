/*
 * help.h - what the program says about itself, from the tables of commands and options.
 */
#ifndef OFFPEAK_CLI_HELP_H
#define OFFPEAK_CLI_HELP_H

#include "cli/cli.h"

void help_overview(void);
void help_command(const struct command *cmd);
void help_markdown(void); /* docs/CLI.md */

#endif
