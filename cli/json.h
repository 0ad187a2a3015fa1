/*
 * json.h - members of the JSON objects that commands print, on standard output.
 *
 * Each prints one member and a comma behind it: the last member of an object is printed by its
 * command, which closes it. Texts pass as JSON strings, whatever bytes they hold; amounts are exact.
 */
#ifndef OFFPEAK_CLI_JSON_H
#define OFFPEAK_CLI_JSON_H

#include "core/money.h"
#include <stdint.h>

void json_text(const char *name, const char *value); /* NULL: null */
void json_count(const char *name, uint64_t n);
void json_amount(const char *name, struct usd_sum amount);

#endif
