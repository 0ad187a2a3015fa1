/*
 * who.h - the name that a change is signed with: who runs this program.
 */
#ifndef OFFPEAK_CLI_WHO_H
#define OFFPEAK_CLI_WHO_H

#include <stddef.h>

void who_am_i(char *ret, size_t size); /* "anna"; without a name "uid 1000" */

#endif
