/* Any bytes as the result file of a batch: each line is read or counted as garbage, and what it
 * says of the one answer lies within it. */
#include "tests/fuzz/answer.h"
#include "tests/fuzz/file.h"
#include "worker/collect.h"
#include "worker/spool.h"

#include <sys/stat.h>

#define MEMBERS 16
#define ID      "b"

static void check_line(struct span text)
{
    struct provider_line line;
    if (openai_line_decode(text, &line) == 0) {
        check_answer(&line.answer, line.kind == LINE_ANSWER);
        MUST(fuzz_within(line.answer.body, text) && fuzz_within(line.answer.error, text));
    }
}

static void check_lines(struct collect *c)
{
    struct err err = {0};
    struct collect_tally t;
    uint64_t lines = 0, firsts = 0;
    int n;
    while ((n = collect_read(c, &provider_openai, &err)) > 0) {
        for (uint32_t i = 0; i < (uint32_t)n; i++) {
            const struct provider_line *line = collect_line(c, i);
            check_answer(&line->answer, line->kind == LINE_ANSWER);
            firsts += collect_first(c, line);
        }
        lines += (uint64_t)n;
    }
    MUST(n == 0);
    collect_tally(c, &t);
    MUST(t.lines == lines + t.garbage && t.members == firsts);
    MUST(t.members + t.repeated + t.foreign == lines);
    MUST(t.members <= MEMBERS && t.executed <= t.members);
}

static void check_file(struct span text)
{
    struct err err = {0};
    struct collect *c = NULL;
    char path[SPOOL_PATH_MAX];
    const char *dir = file_folder();
    (void)snprintf(path, sizeof(path), "%s/spool", dir);
    (void)mkdir(path, 0700);
    spool_path(dir, ID, SPOOL_OUTPUT, path);
    file_write(path, text.p, text.n);
    MUST(collect_open(&c, dir, ID, MEMBERS, &err) == 0);
    check_lines(c);
    collect_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    check_line(span_of(data, n));
    check_file(span_of(data, n));
    return 0;
}
