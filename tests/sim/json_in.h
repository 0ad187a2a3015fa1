/*
 * Reading JSON as the vendor does: any valid JSON, escaped NULs and large integers included.
 */
#ifndef SIM_JSON_IN_H
#define SIM_JSON_IN_H

#include <jansson.h>
#include <stdbool.h>

/* NULL when it is not JSON. *ret_rounded: a number did not fit and was rounded, so that the
 * canonical form would be another one. */
json_t *json_in(const char *bytes, size_t n, bool *ret_rounded);

#endif
