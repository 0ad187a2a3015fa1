/* Promises about the disk: full, torn, damaged, of another version; and who may read it. */
#include "tests/contract/contract.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *path_in(struct world *w, const char *name)
{
    static char path[sizeof(w->dir) + 64];
    (void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    return path;
}

static void expect_open_fails(struct world *w, int code, const char *words)
{
    struct queue *q = NULL;
    const struct queue_conf conf = {.dir = w->dir, .owner = true};
    assert_int_equal(queue_open(&q, &conf, &w->err), -code);
    assert_has(w->err.msg, words);
    assert_has(w->err.msg, w->dir);
    assert_string_not_equal(w->err.hint, "");
    assert_null(q);
}

/* ---- full ---- */

static uint64_t fill(struct world *w, uint64_t commits_max)
{
    static char value[64 * 1024];
    for (uint64_t n = 0; n < commits_max; n++) {
        struct queue_tx *tx = begin(w);
        OK(w, queue_put(tx, QUEUE_TO("t", 0, SPAN_NONE), SPAN_NONE,
                        span_of(value, sizeof(value)), &w->err));
        if (queue_commit_wait(tx, NULL, &w->err) < 0) {
            return n;
        }
    }
    fail_msg("it never became full");
    return 0;
}

static void expect_all_readable(struct world *w, uint64_t n)
{
    struct queue_msg m;
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_read_topic(c, "t", 0, 0));
    for (uint64_t i = 0; i < n; i++) {
        assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
        assert_int_equal(m.at.offset, i);
        assert_int_equal(m.value.n, 64 * 1024);
    }
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 0);
    queue_cursor_close(c);
}

static void a_full_quota_fails_the_commit_and_all_later_ones(void **state)
{
    struct world *w = *state;
    w->max_bytes = 4 << 20;
    open_owner(w);
    uint64_t n = fill(w, 1000);
    assert_in_range(n, 20, 4 * 16);
    assert_has(w->err.msg, "no space left within its quota of 4194304 bytes");
    struct queue_tx *tx = begin(w); /* small enough to fit, and refused all the same */
    put(w, tx, "t", "x");
    assert_int_equal(queue_commit_wait(tx, NULL, &w->err), -ERR_FAIL);
    assert_has(w->err.msg, "no space left");
    expect_all_readable(w, n);
    w->max_bytes = 0; /* more room, a new start */
    reopen_owner(w);
    expect_all_readable(w, n);
    put_one(w, "t", "x");
}

static void what_is_trimmed_counts_no_more_against_the_quota(void **state)
{
    struct world *w = *state;
    w->max_bytes = 4 << 20;
    open_owner(w);
    for (uint64_t turn = 0; turn < 6; turn++) {
        static char value[64 * 1024];
        for (int i = 0; i < 20; i++) {
            struct queue_tx *tx = begin(w);
            OK(w, queue_put(tx, QUEUE_TO("t", 0, SPAN_NONE), SPAN_NONE,
                            span_of(value, sizeof(value)), &w->err));
            commit(w, tx);
        }
        struct queue_tx *tx = begin(w);
        OK(w, queue_trim(tx, "t", 0, UINT64_MAX, &w->err));
        commit(w, tx);
    }
    assert_int_equal(end_of(w, "t"), 120);
}

static void on_failed(void *ctx, uint64_t number, const struct err *err)
{
    int *failed = ctx;
    assert_int_equal(number, 0);
    assert_non_null(err);
    assert_has(err->msg, "no space left");
    (*failed)++;
}

static void after_a_failure_every_callback_brings_the_error(void **state)
{
    struct world *w = *state;
    int failed = 0;
    w->max_bytes = 1 << 20;
    make_loop(w, clock_real());
    open_owner(w);
    (void)fill(w, 100);
    for (int i = 0; i < 10; i++) {
        struct queue_tx *tx = begin(w);
        put(w, tx, "t", "x");
        queue_commit(tx, on_failed, &failed);
    }
    assert_int_equal(failed, 0);
    close_queue(w);
    assert_int_equal(failed, 10);
}

static void a_file_size_limit_fails_the_commit_and_leaves_the_folder_readable(
    void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    unsigned long long commits = 0;
    char line[256];
    struct peer p = peer_start(w, "fill", "3000000", NULL);
    FILE *out = fdopen(dup(p.out), "r");
    assert_non_null(out);
    assert_non_null(fgets(line, sizeof(line), out));
    assert_has(line, "no space left on the device");
    assert_int_equal(sscanf(line, "%llu", &commits), 1);
    assert_in_range(commits, 20, 45);
    assert_non_null(fgets(line, sizeof(line), out));
    assert_has(line, "no space left on the device"); /* it does not try again */
    (void)fclose(out);
    assert_int_equal(peer_wait(&p), 0);
    open_owner(w);
    expect_all_readable(w, commits);
    put_one(w, "t", "x");
    struct queue_cursor *c = cursor_on(w);
    const struct queue_at at = at_of(w, "t", commits);
    assert_int_equal(OK(w, queue_fetch(c, &at, &m, &w->err)), 1);
    queue_cursor_close(c);
}

static void a_full_device_fails_the_commit_and_leaves_the_folder_readable(void **state)
{
    struct world *w = *state;
    assert_int_equal(mkdir(w->dir, 0700), 0);
    if (mount("tmpfs", w->dir, "tmpfs", 0, "size=3m") < 0) {
        print_message("no permission to mount a small device here\n");
        skip();
    }
    open_owner(w);
    uint64_t n = fill(w, 1000);
    assert_in_range(n, 20, 48);
    assert_has(w->err.msg, "no space left on the device");
    assert_string_not_equal(w->err.hint, "");
    expect_all_readable(w, n);
    reopen_owner(w);
    expect_all_readable(w, n);
    close_queue(w);
    assert_int_equal(umount(w->dir), 0);
}

/* ---- torn ---- */

static void make_store(struct world *w)
{
    open_owner(w);
    put_many(w, "t", 1000);
    close_queue(w);
}

static void a_torn_folder_is_refused_with_words(void **state)
{
    struct world *w = *state;
    char garbage[8192];
    memset(garbage, 'g', sizeof(garbage));
    make_store(w);
    const char *data = path_in(w, "queue/data.mdb");
    assert_int_equal(truncate(data, 3 * 4096), 0); /* its first pages only */
    expect_open_fails(w, ERR_FAIL, "the store is damaged");
    int fd = open(data, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
    (void)close(fd);
    expect_open_fails(w, ERR_FAIL, "is not an LMDB file");
    assert_int_equal(truncate(data, 0), 0);
    expect_open_fails(w, ERR_FAIL, "is missing or empty");
    assert_int_equal(unlink(data), 0);
    expect_open_fails(w, ERR_FAIL, "is missing or empty");
}

static void a_file_that_lost_its_end_is_refused(void **state)
{
    struct world *w = *state;
    const size_t size = (size_t)8 << 20;
    char *value = calloc(1, size);
    assert_non_null(value);
    open_owner(w);
    for (int i = 0; i < 10; i++) {
        struct queue_tx *tx = begin(w);
        OK(w, queue_put(tx, QUEUE_TO("t", 0, SPAN_NONE), SPAN_NONE, span_of(value, size),
                        &w->err));
        commit(w, tx);
    }
    close_queue(w);
    assert_int_equal(truncate(path_in(w, "queue/data.mdb"), 8 << 20), 0);
    expect_open_fails(w, ERR_FAIL, "its file is cut short (8388608 of ");
    free(value);
}

static void a_creation_that_was_cut_off_is_done_again(void **state)
{
    struct world *w = *state;
    assert_int_equal(mkdir(w->dir, 0700), 0);
    assert_int_equal(mkdir(path_in(w, "queue.tmp"), 0700), 0);
    int fd = open(path_in(w, "queue.tmp/data.mdb"), O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "half", 4), 4);
    (void)close(fd);
    open_owner(w);
    put_one(w, "t", "x");
    assert_int_equal(access(path_in(w, "queue.tmp"), F_OK), -1);
}

static void a_folder_that_cannot_be_made_is_an_error_with_words(void **state)
{
    struct world *w = *state;
    (void)snprintf(w->dir, sizeof(w->dir), "%s/no/such/folder", w->base);
    expect_open_fails(w, ERR_FAIL, "No such file or directory");
    (void)snprintf(w->dir, sizeof(w->dir), "%s/file", w->base);
    int fd = open(w->dir, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    expect_open_fails(w, ERR_FAIL, "Not a directory");
}

/* ---- damaged ---- */

/* Changes `from` into `to` wherever it stands in the file. */
static int patch(struct world *w, struct span from, struct span to)
{
    int fd = open(path_in(w, "queue/data.mdb"), O_RDWR), hits = 0;
    assert_true(fd >= 0);
    off_t size = lseek(fd, 0, SEEK_END);
    char *all = malloc((size_t)size);
    assert_non_null(all);
    assert_int_equal(pread(fd, all, (size_t)size, 0), size);
    for (off_t i = 0; i + (off_t)from.n <= size; i++) {
        if (memcmp(all + i, from.p, from.n) == 0) {
            assert_int_equal(pwrite(fd, to.p, to.n, i), to.n);
            hits++;
        }
    }
    free(all);
    (void)close(fd);
    return hits;
}

static void a_folder_of_another_version_is_refused_with_words(void **state)
{
    struct world *w = *state;
    make_store(w);
    assert_true(patch(w, SPAN_LIT("format\1\0\0\0\0\0\0\0"),
                      SPAN_LIT("format\2\0\0\0\0\0\0\0")) > 0);
    expect_open_fails(w, ERR_VERSION, "it has format 2, this program knows format 1");
}

static void a_damaged_record_is_an_error_that_says_which(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    open_owner(w);
    put_one(w, "jobs.a.b", "the first one");
    put_one(w, "jobs.a.b", "the second one");
    put_one(w, "jobs.a.b", "the third one");
    const struct queue_at from = at_of(w, "jobs.a.b", 1), to = at_of(w, "ready", 0);
    struct queue_tx *tx = begin(w);
    OK(w, queue_forward(tx, QUEUE_TO("ready", 0, SPAN_NONE), SPAN_NONE, &from, &w->err));
    commit(w, tx);
    close_queue(w);
    assert_true(patch(w, SPAN_LIT("the second one"), SPAN_LIT("the secone one")) > 0);
    open_owner(w);
    struct queue_cursor *c = cursor_on(w);
    assert_int_equal(queue_fetch(c, &from, &m, &w->err), -ERR_FAIL);
    assert_has(w->err.msg, "'jobs.a.b'/0/1");
    assert_has(w->err.msg, "its checksum does not match");
    assert_int_equal(queue_fetch(c, &to, &m, &w->err), -ERR_FAIL);
    assert_has(w->err.msg, "'jobs.a.b'/0/1"); /* where the damage is */
    const struct queue_at third = at_of(w, "jobs.a.b", 2);
    assert_int_equal(OK(w, queue_fetch(c, &third, &m, &w->err)), 1);
    assert_span(m.value, SPAN_LIT("the third one"));
    queue_cursor_close(c);
}

static void a_damaged_part_of_a_large_value_is_found(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    static char value[3 << 20];
    memcpy(value + (2 << 20), "needle in the third part", 24);
    open_owner(w);
    struct queue_tx *tx = begin(w);
    OK(w, queue_put(tx, QUEUE_TO("t", 0, SPAN_NONE), SPAN_NONE,
                    span_of(value, sizeof(value)), &w->err));
    commit(w, tx);
    close_queue(w);
    assert_int_equal(patch(w, SPAN_LIT("needle in"), SPAN_LIT("noodle in")), 1);
    open_owner(w);
    struct queue_cursor *c = cursor_on(w);
    const struct queue_at at = at_of(w, "t", 0);
    assert_int_equal(queue_fetch(c, &at, &m, &w->err), -ERR_FAIL);
    assert_has(w->err.msg, "'t'/0/0");
    queue_cursor_close(c);
}

/* ---- memory ---- */

/* Kilobytes of mapped files that count as this process's memory. */
static long mapped_kib(void)
{
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, "RssFile:", 8) == 0) {
            kib = strtol(line + 8, NULL, 10);
        }
    }
    (void)fclose(f);
    assert_true(kib >= 0);
    return kib;
}

static void a_scan_of_a_large_store_leaves_little_of_it_in_memory(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    static char value[1 << 20];
    enum { RECORDS = 300 };
    int n = 0;
    open_owner(w);
    for (int i = 0; i < RECORDS; i++) {
        struct queue_tx *tx = begin(w);
        OK(w, queue_put(tx, QUEUE_TO("t", 0, SPAN_NONE), SPAN_NONE,
                        span_of(value, sizeof(value)), &w->err));
        commit(w, tx);
    }
    long before = mapped_kib();
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_read_topic(c, "t", 0, 0));
    while (OK(w, queue_read(c, &m, &w->err))) {
        n++;
    }
    queue_cursor_close(c);
    assert_int_equal(n, RECORDS);
    assert_true(mapped_kib() - before < 150 * 1024);
}

/* ---- permissions ---- */

static void only_its_user_can_look_into_the_folder(void **state)
{
    struct world *w = *state;
    const struct {
        const char *name;
        mode_t mode;
    } want[] = {{".", 0700},
                {"queue", 0700},
                {"queue/data.mdb", 0600},
                {"queue/lock.mdb", 0600},
                {"owner.lock", 0600},
                {"open.lock", 0600}};
    mode_t before = umask(0); /* whatever the user's umask allows */
    open_owner(w);
    (void)umask(before);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        struct stat st;
        assert_int_equal(stat(path_in(w, want[i].name), &st), 0);
        assert_int_equal(st.st_mode & 0777, want[i].mode);
    }
}

const struct promise disk_promises[] = {
    PROMISE(a_full_quota_fails_the_commit_and_all_later_ones),
    PROMISE(what_is_trimmed_counts_no_more_against_the_quota),
    PROMISE(after_a_failure_every_callback_brings_the_error),
    PROMISE(a_file_size_limit_fails_the_commit_and_leaves_the_folder_readable),
    PROMISE(a_full_device_fails_the_commit_and_leaves_the_folder_readable),
    PROMISE(a_torn_folder_is_refused_with_words),
    PROMISE(a_file_that_lost_its_end_is_refused),
    PROMISE(a_creation_that_was_cut_off_is_done_again),
    PROMISE(a_folder_that_cannot_be_made_is_an_error_with_words),
    PROMISE(a_folder_of_another_version_is_refused_with_words),
    PROMISE(a_damaged_record_is_an_error_that_says_which),
    PROMISE(a_damaged_part_of_a_large_value_is_found),
    PROMISE(a_scan_of_a_large_store_leaves_little_of_it_in_memory),
    PROMISE(only_its_user_can_look_into_the_folder),
    {0},
};
