#include "tests/sim/canonical.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t canonical_keys(const json_t *object, const char ***ret_keys)
{
    const char **keys = must_calloc(json_object_size(object), sizeof *keys);
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        keys[n++] = key;
    }
    qsort(keys, n, sizeof *keys, by_bytes);
    *ret_keys = keys;
    return n;
}

/* Digits and exponent of the shortest text that reads back as the same number. */
static void shortest(double x, char *ret_digits, size_t size, int *ret_exponent)
{
    char text[40];
    for (int precision = 0; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, x);
        if (strtod(text, NULL) == x) {
            break;
        }
    }
    size_t n = 0;
    const char *at = text;
    for (; *at && *at != 'e'; at++) {
        if (*at != '.' && n + 1 < size) {
            ret_digits[n++] = *at;
        }
    }
    ret_digits[n] = '\0';
    *ret_exponent = *at ? (int)strtol(at + 1, NULL, 10) : 0;
}

/* Python's repr: 1.5, 100000.0, 1e+16, 1.5e-05. */
static void write_real(struct text *out, double x)
{
    char digits[24];
    int exponent;
    if (x < 0 || (x == 0 && 1 / x < 0)) {
        text_char(out, '-');
        x = -x;
    }
    shortest(x, digits, sizeof digits, &exponent);
    int n = (int)strlen(digits);
    if (exponent < -4 || exponent >= 16) {
        text_char(out, digits[0]);
        if (n > 1) {
            text_fmt(out, ".%s", digits + 1);
        }
        text_fmt(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        text_fmt(out, "0.%.*s%s", -exponent - 1, "000", digits);
    } else if (n <= exponent + 1) {
        text_fmt(out, "%s%.*s.0", digits, exponent + 1 - n, "0000000000000000");
    } else {
        text_fmt(out, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
    }
}

static void write_object(struct text *out, const json_t *object)
{
    const char **keys;
    size_t n = canonical_keys(object, &keys);
    text_char(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i) {
            text_char(out, ',');
        }
        text_json(out, keys[i], strlen(keys[i]));
        text_char(out, ':');
        canonical_write(out, json_object_get(object, keys[i]));
    }
    text_char(out, '}');
    free(keys);
}

static void write_array(struct text *out, const json_t *array)
{
    text_char(out, '[');
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i) {
            text_char(out, ',');
        }
        canonical_write(out, json_array_get(array, i));
    }
    text_char(out, ']');
}

void canonical_write(struct text *out, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: write_object(out, value); return;
    case JSON_ARRAY: write_array(out, value); return;
    case JSON_STRING:
        text_json(out, json_string_value(value), json_string_length(value));
        return;
    case JSON_INTEGER: text_int(out, json_integer_value(value)); return;
    case JSON_REAL: write_real(out, json_real_value(value)); return;
    case JSON_TRUE: text_put(out, "true"); return;
    case JSON_FALSE: text_put(out, "false"); return;
    case JSON_NULL: text_put(out, "null"); return;
    }
}
