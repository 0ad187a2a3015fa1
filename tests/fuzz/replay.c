/* Runs a fuzz target over the files of its corpus and over a fixed set of mutations of each. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define FILE_BYTES_MAX 65536
#define MUTATIONS      3000 /* in all, the same number of each file */
#define INSERT_MAX     16

struct text {
    uint8_t p[FILE_BYTES_MAX + INSERT_MAX];
    size_t n;
};

/* xorshift64*: the same numbers on every run. */
static uint64_t next_number(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1dULL;
}

static size_t below(uint64_t *seed, size_t n)
{
    return n ? (size_t)(next_number(seed) % n) : 0;
}

static void insert(struct text *t, size_t at, const char *p, size_t n)
{
    if (t->n + n <= FILE_BYTES_MAX) {
        memmove(t->p + at + n, t->p + at, t->n - at);
        memcpy(t->p + at, p, n);
        t->n += n;
    }
}

static void mutate(struct text *t, uint64_t *seed)
{
    static const char *const words[] = {
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        ",",
        ":",
        "\\u0000",
        "\\ud800",
        "1e9",
        "-0.0",
        "null",
        "\r",
        "\xff",
        "\xcc\x81",
        "\xef\xbb\xbf",
        "\\r\\n",
        "0",
        "\\ud83d\\ude00",
        "  ",
    };
    size_t at = below(seed, t->n);
    switch (below(seed, 5)) {
    case 0:
        if (t->n) {
            t->p[at] = (uint8_t)(t->p[at] ^ 1U << below(seed, 8));
        }
        break;
    case 1:
        if (t->n) {
            t->p[at] = (uint8_t)next_number(seed);
        }
        break;
    case 2: t->n = at; break;
    case 3: {
        size_t n = below(seed, t->n - at) % 64;
        memmove(t->p + at, t->p + at + n, t->n - at - n);
        t->n -= n;
        break;
    }
    case 4: {
        const char *word = words[below(seed, sizeof(words) / sizeof(words[0]))];
        insert(t, at, word, strlen(word));
        break;
    }
    }
}

/* In memory of exactly that size, so that a read past the end is seen. */
static void run(const struct text *t)
{
    uint8_t *copy = malloc(t->n ? t->n : 1);
    MUST(copy);
    memcpy(copy, t->p, t->n);
    LLVMFuzzerTestOneInput(copy, t->n);
    free(copy);
}

static void run_file(const char *path, uint64_t seed, size_t mutations)
{
    static struct text whole, mutant; /* too large for the stack */
    FILE *file = fopen(path, "rb");
    MUST(file);
    whole.n = fread(whole.p, 1, FILE_BYTES_MAX, file);
    fclose(file);
    run(&whole);
    for (size_t i = 0; i < mutations; i++) {
        mutant = whole;
        for (size_t times = below(&seed, 4) + 1; times > 0; times--) {
            mutate(&mutant, &seed);
        }
        run(&mutant);
    }
}

/* How many files; runs them with so many mutations of each. */
static size_t run_folder(const char *folder, size_t mutations)
{
    struct dirent **names = NULL;
    size_t files = 0;
    int n = scandir(folder, &names, NULL, alphasort); /* in order: runs repeat exactly */
    MUST(n >= 0);
    for (int i = 0; i < n; i++) {
        char path[600];
        if (names[i]->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
            run_file(path, 20261121 + files, mutations);
            files++;
        }
        free(names[i]);
    }
    free(names);
    return files;
}

int main(void)
{
    static const char *const folders[] = {FUZZ_FOLDERS};
    size_t files = 0;
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        files += run_folder(folders[i], 0);
    }
    for (size_t i = 0; files && i < ARRAY_LEN(folders); i++) {
        run_folder(folders[i], MUTATIONS / files);
    }
    printf("%zu files and %zu mutations of each\n", files, files ? MUTATIONS / files : 0);
    return files ? 0 : 1;
}
