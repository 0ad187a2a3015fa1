/* Any bytes: jtext_check stays inside them; what it accepts can be read to the last value. */
#include "core/jtext.h"
#include "tests/fuzz/fuzz.h"

static void visit(struct span value)
{
    _cleanup_(buf_fini) struct buf text;
    struct span name, inner;
    struct jtext_number number;
    uint64_t whole;
    enum jtext_type type = jtext_type(value);
    buf_init(&text, value.n + 1);
    MUST(type != JTEXT_NONE);
    MUST((jtext_string(value, &text) == 0) == (type == JTEXT_STRING));
    if (type == JTEXT_OBJECT) {
        for (size_t at = 0; jtext_next(value, &at, &name, &inner);) {
            buf_reset(&text);
            MUST(jtext_string(name, &text) == 0);
            if (!memchr(text.p ? text.p : "", '\0',
                        text.n)) { /* it is the first: names are unique */
                struct span found;
                MUST(jtext_get(value, text.p ? text.p : "", &found) &&
                     found.p == inner.p);
            }
            visit(inner);
        }
    } else if (type == JTEXT_ARRAY) {
        for (size_t at = 0; jtext_next(value, &at, NULL, &inner);) {
            visit(inner);
        }
    } else if (type == JTEXT_NUMBER) {
        MUST(jtext_number(value, &number));
        MUST(jtext_u64(value, &whole) < 0 || !number.negative);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span text = span_of(data, n);
    struct err err = {0};
    MUST(jtext_check(SPAN_NONE, NULL) < 0); /* a record without a value is read so */
    if (jtext_check(text, &err) == 0) {
        visit(span_trim(text));
    } else {
        MUST(err.msg[0] && err.hint[0]); /* every refusal says why and what to do */
    }
    return 0;
}
