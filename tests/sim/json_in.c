#include "tests/sim/json_in.h"

json_t *json_in(const char *bytes, size_t n, bool *ret_rounded)
{
    json_error_t error;
    json_t *value = json_loadb(bytes, n, JSON_ALLOW_NUL, &error);
    *ret_rounded = false;
    if (!value && json_error_code(&error) == json_error_numeric_overflow) {
        *ret_rounded = true;
        value = json_loadb(bytes, n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    }
    return value;
}
