/* SHA-256: the vectors of FIPS 180-2, and that streaming gives the same. */
#include "core/hash.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

static void known_texts_have_their_known_digests(void **state)
{
    static const struct {
        const char *text, *hex;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hex[HASH_HEX];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(hash_hex(hash_of(span_str(cases[i].text)), hex),
                            cases[i].hex);
    }
    assert_string_equal(hash_hex(hash_of(SPAN_NONE), hex), cases[0].hex);
}

static void pieces_hash_like_the_whole_and_a_peek_disturbs_nothing(void **state)
{
    struct hash *h = hash_open();
    (void)state;
    hash_add(h, "a", 1);
    hash_add(h, NULL, 0);
    struct digest half = hash_peek(h);
    hash_add(h, "bc", 2);
    struct digest whole = hash_end(h);
    struct digest a = hash_of(SPAN_LIT("a"));
    struct digest abc = hash_of(SPAN_LIT("abc"));
    assert_memory_equal(half.b, a.b, HASH_BYTES);
    assert_memory_equal(whole.b, abc.b, HASH_BYTES);
    assert_null(hash_drop(hash_open()));
    assert_null(hash_drop(NULL));
}

static void hexadecimal_is_lower_case_and_whole(void **state)
{
    char hex[HASH_HEX];
    (void)state;
    hash_hex(hash_of(SPAN_LIT("abc")), hex); /* FIPS 180-2, appendix B.1 */
    assert_string_equal(
        hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void the_short_form_is_the_first_eight_bytes_big_endian(void **state)
{
    (void)state;
    assert_true(hash_u64(hash_of(SPAN_LIT("abc"))) == 0xba7816bf8f01cfeaULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts_have_their_known_digests),
        cmocka_unit_test(pieces_hash_like_the_whole_and_a_peek_disturbs_nothing),
        cmocka_unit_test(hexadecimal_is_lower_case_and_whole),
        cmocka_unit_test(the_short_form_is_the_first_eight_bytes_big_endian),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
