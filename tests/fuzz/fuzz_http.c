/* Short texts: times in reply headers, addresses, ids of jobs, names, words for people. Each is read
 * within its bounds, or refused. */
#include "core/http.h"
#include "core/name.h"
#include "core/record.h"
#include "core/redact.h"
#include "tests/fuzz/fuzz.h"
#include "worker/batch.h"
#include "worker/repeats.h"

#include <string.h>

#define WEEK_MS INT64_C(604800000)

static void check_times(struct span text)
{
    int64_t seconds = http_delay_ms(text, 1000), ms = http_delay_ms(text, 1);
    MUST(seconds >= -1 && seconds <= WEEK_MS && ms >= -1 && ms <= seconds);
    MUST(http_duration_ms(text) >= -1 && http_duration_ms(text) <= WEEK_MS);
}

static void check_url(const char *url)
{
    struct err err = {0};
    _cleanup_(buf_fini) struct buf origin;
    buf_init(&origin, 1000);
    (void)http_is_loopback(url);
    if (http_check_url(url, false, &err) == 0) {
        MUST(http_origin(url, &origin, &err) == 0 && origin.n > 0);
    } else {
        MUST(err.msg[0] && err.hint[0]);
    }
}

static void check_id(struct span text)
{
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    struct queue_at at;
    struct span queue;
    struct last_job job, again;
    char row[LAST_JOB_TEXT];
    if (job_id_parse(text, team, feature) == 0) {
        MUST(name_is_team(span_str(team)) && name_is_team(span_str(feature)));
    }
    (void)job_id_place(text, &at);
    if (last_job_of(text, &queue, &job) == 0) {
        MUST(queue.n < text.n);
        last_job_format(&job, row);
        MUST(last_job_parse(span_str(row), &again) == 0 && again.offset == job.offset &&
             again.ms == job.ms);
    }
}

static void check_names(struct span text, const char *word)
{
    struct err err = {0};
    enum lane lane;
    enum batch_state state;
    MUST(!name_is_team(text) || (text.n && text.n <= NAME_TEAM_MAX));
    MUST(!name_is_run(text) || !memchr(text.p, '/', text.n));
    MUST((name_check_run(text, &err) == 0) == name_is_run(text));
    MUST(lane_parse(text, &lane) < 0 || span_is(text, lane_name(lane)));
    MUST(batch_state_parse(word, &state) < 0 || !strcmp(word, batch_state_name(state)));
}

/* Nothing in it can steer a terminal. */
static void check_words(struct span text)
{
    _cleanup_(buf_fini) struct buf safe;
    buf_init(&safe, 4 * text.n + 100);
    MUST(redact(&safe, text) == 0);
    for (size_t i = 0; i < safe.n; i++) {
        MUST((unsigned char)safe.p[i] >= ' ' && safe.p[i] != 0x7f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span text = span_of(data, n);
    char word[600];
    check_times(text);
    check_url(fuzz_text(text, word, sizeof(word)));
    check_id(text);
    check_names(text, word);
    check_words(text);
    return 0;
}
