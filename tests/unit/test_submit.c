/* A run whose lines go over the partitions of their topic, and jobs that are queued again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/loop.h"
#include "core/queue.h"
#include "producer/retry.h"
#include "producer/submit.h"
#include "tests/lib/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC "jobs.shop.tags"
#define LINES 10

struct desk {
    char dir[64], path[80];
    struct loop *loop;
    struct queue *queue;
    struct queue_cursor *cursor;
    struct submit_conf conf;
    const char *paths[1];
    bool done;
    struct err err;
};

static void must(int rc, const struct err *err)
{
    if (rc < 0) {
        fail_msg("%s", err->msg);
    }
}

static void on_done(void *ctx, const struct err *err)
{
    struct desk *d = ctx;
    d->done = err == NULL;
    if (err) {
        d->err = *err;
    }
    loop_stop(d->loop);
}

static void on_line(void *ctx, const char *file, uint64_t line, const char *why,
                    const char *hint)
{
    (void)ctx;
    (void)hint;
    fail_msg("%s:%llu was refused: %s", file, (unsigned long long)line, why);
}

static void given_file(struct desk *d, unsigned lines)
{
    FILE *f = fopen(d->path, "w");
    assert_non_null(f);
    for (unsigned i = 1; i <= lines; i++) {
        (void)fprintf(f,
                      "{\"custom_id\":\"c%u\",\"method\":\"POST\",\"url\":\"/v1/chat/"
                      "completions\",\"body\":{\"model\":\"m\",\"messages\":[{\"role\":"
                      "\"user\",\"content\":\"question %u\"}]}}\n",
                      i, i);
    }
    assert_int_equal(fclose(f), 0);
}

static void open_queue(struct desk *d)
{
    const struct queue_conf conf = {.dir = d->dir, .owner = true, .loop = d->loop};
    must(queue_open(&d->queue, &conf, &d->err), &d->err);
    must(queue_cursor_open(d->queue, &d->cursor, &d->err), &d->err);
    d->conf.queue = d->queue;
}

static int begin(void **state)
{
    struct desk *d = calloc(1, sizeof(*d));
    assert_non_null(d);
    (void)snprintf(d->dir, sizeof(d->dir), "/tmp/offpeak-submit-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    (void)snprintf(d->path, sizeof(d->path), "%s/jobs.jsonl", d->dir);
    d->paths[0] = d->path;
    must(loop_create(&d->loop, clock_real(), &d->err), &d->err);
    d->conf = (struct submit_conf){.loop = d->loop,
                                   .source = {.paths = d->paths, .paths_n = 1},
                                   .label = d->path,
                                   .dir = d->dir,
                                   .team = "shop",
                                   .feature = "tags",
                                   .run = "monday",
                                   .on_line = on_line,
                                   .on_done = on_done,
                                   .ctx = d};
    given_file(d, LINES);
    open_queue(d);
    *state = d;
    return 0;
}

static int end(void **state)
{
    struct desk *d = *state;
    queue_cursor_close(d->cursor);
    queue_close(d->queue);
    loop_destroy(d->loop);
    folder_remove(d->dir);
    free(d);
    return 0;
}

static void given_partitions(struct desk *d, uint32_t n)
{
    must(queue_assign(d->queue, TOPIC, n, NULL, 0, &d->err), &d->err);
}

/* Returns the run's row as it stands afterwards. */
static struct run_row submit(struct desk *d)
{
    struct submit *s = NULL;
    struct submit_digest digest;
    must(submit_digest(&d->conf.source, &digest, &d->err), &d->err);
    memcpy(d->conf.row.digest, digest.hex, sizeof(digest.hex));
    (void)snprintf(d->conf.row.reuse, sizeof(d->conf.row.reuse), "always");
    must(submit_start(&s, &d->conf, &d->err), &d->err);
    loop_run(d->loop);
    assert_true(d->done);
    struct run_row row = *submit_row(s);
    submit_destroy(s);
    return row;
}

/* Lines of that attempt in the partition, in order; as a text "3 6 9 ". */
static void assert_lines(struct desk *d, uint32_t partition, uint64_t attempt,
                         const char *want)
{
    char got[200] = "";
    struct queue_msg msg;
    struct job_head head;
    must(queue_read_topic(d->cursor, TOPIC, partition, 0), &d->err);
    while (queue_read(d->cursor, &msg, &d->err) > 0) {
        assert_int_equal(job_head_decode(msg.headers, &head), 0);
        if (head.attempt == attempt) {
            size_t n = strlen(got);
            (void)snprintf(got + n, sizeof(got) - n, "%d ", (int)head.line);
        }
    }
    assert_string_equal(got, want);
}

static void row_as_json(struct desk *d, struct buf *json)
{
    struct queue_msg msg;
    must(queue_table_get(d->cursor, "runs.shop", 0, SPAN_LIT("tags/monday"), &msg,
                         &d->err),
         &d->err);
    buf_init(json, 8192);
    assert_int_equal(buf_add(json, msg.value.p, msg.value.n), 0);
    assert_int_equal(buf_addc(json, '\0'), 0);
}

static void test_on_one_machine_all_lines_stand_in_one_log(void **state)
{
    struct desk *d = *state;
    _cleanup_(buf_fini) struct buf json;
    struct run_row row = submit(d);
    assert_false(row.spread);
    assert_lines(d, 0, 1, "1 2 3 4 5 6 7 8 9 10 ");
    row_as_json(d, &json);
    assert_null(strstr(json.p, "partitions"));
}

static void test_line_n_goes_to_partition_n_of_those_there_are(void **state)
{
    struct desk *d = *state;
    _cleanup_(buf_fini) struct buf json;
    given_partitions(d, 3);
    struct run_row row = submit(d);
    assert_true(row.spread);
    assert_int_equal(row.partitions, 3);
    assert_lines(d, 0, 1, "3 6 9 ");
    assert_lines(d, 1, 1, "1 4 7 10 ");
    assert_lines(d, 2, 1, "2 5 8 ");
    row_as_json(d, &json);
    assert_non_null(strstr(json.p, "\"partitions\":3"));
}

/* A topic that grew since: the run's own number counts, or its marks would be of no use. */
static void test_a_run_keeps_the_number_it_began_with(void **state)
{
    struct desk *d = *state;
    struct queue_tx *tx = NULL;
    _cleanup_(buf_fini) struct buf json;
    given_partitions(d, 3);
    struct run_row row = submit(d);
    row.complete = false; /* as a submit leaves it that is killed behind line 4 */
    row.lines = 4;
    buf_init(&json, 8192);
    assert_int_equal(run_row_encode(&row, &json), 0);
    assert_int_equal(queue_begin(d->queue, &tx), 0);
    must(queue_table_put(tx, "runs.shop", 0, SPAN_LIT("tags/monday"), buf_span(&json),
                         &d->err),
         &d->err);
    must(queue_commit_wait(tx, &(uint64_t){0}, &d->err), &d->err);
    given_partitions(d, 5);
    d->done = false;
    row = submit(d);
    assert_int_equal(row.partitions, 3);
    assert_lines(d, 0, 1, "3 6 9 6 9 ");
    assert_lines(d, 1, 1, "1 4 7 10 7 10 ");
    assert_lines(d, 2, 1, "2 5 8 5 8 ");
    assert_lines(d, 3, 1, "");
}

static void test_a_line_is_retried_in_its_partition(void **state)
{
    struct desk *d = *state;
    given_partitions(d, 3);
    struct run_row row = submit(d);
    const struct retry_job failed[] = {{.line = 4, .place = place_of(1, 1)},
                                       {.line = 8, .place = place_of(2, 2)},
                                       {.line = 9, .place = place_of(0, 2)}};
    const struct retry_conf conf = {.queue = d->queue,
                                    .team = "shop",
                                    .feature = "tags",
                                    .run = "monday",
                                    .row = &row,
                                    .jobs = failed,
                                    .n = ARRAY_LEN(failed)};
    struct run_row after;
    must(retry_append(&conf, &after, &d->err), &d->err);
    assert_int_equal(after.partitions, 3);
    assert_lines(d, 0, 2, "9 ");
    assert_lines(d, 1, 2, "4 ");
    assert_lines(d, 2, 2, "8 ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_on_one_machine_all_lines_stand_in_one_log),
        TEST(test_line_n_goes_to_partition_n_of_those_there_are),
        TEST(test_a_run_keeps_the_number_it_began_with),
        TEST(test_a_line_is_retried_in_its_partition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
