/* What commands read beside the tables: a spend record, a result, an invoice, the beat of an owner,
 * words of a command line. Read, or refused with words; amounts stay exact.
 *
 * The first byte chooses. */
#include "cli/access.h"
#include "cli/audit_int.h"
#include "cli/beat.h"
#include "cli/options.h"
#include "cli/reply.h"
#include "cli/seen.h"
#include "cli/totals.h"
#include "core/headers.h"
#include "core/jtext.h"
#include "scheduler/budget_default.h"
#include "tests/fuzz/file.h"

#define WORDS_MAX 40

/* ---- a spend record: a block of headers behind its length, and JSON ---- */

/* Counted once, or its job id is none. */
static void check_totals(const struct spend_line *line)
{
    struct err err = {0};
    struct totals t = {.jobs = 0};
    struct seen *seen = seen_create();
    MUST(seen && (spend_line_fold(line, seen, &err) == 1 || err.msg[0]));
    MUST(err.msg[0] || spend_line_fold(line, seen, &err) == 0);
    totals_add(&t, line);
    seen_destroy(seen);
}

static void check_spend(struct span in)
{
    struct audit_difference wrong[AUDIT_CHARGE_KINDS];
    struct audit_charge c;
    struct spend_line line;
    struct err err = {0};
    struct queue_msg msg = {.at = {.topic = TOPIC_SPEND}};
    msg.headers = fuzz_take(&in, fuzz_number(&in, 2));
    msg.value = in;
    unsigned n = audit_charge_read(&msg, &c, wrong);
    MUST(n <= AUDIT_CHARGE_KINDS);
    for (unsigned i = 0; i < n; i++) {
        MUST(wrong[i].expected[0]);
    }
    if (n == 0 && c.known) { /* what the audit finds right is what totals add up */
        MUST(spend_line_read(&msg, &line, &err) == 0 && line.known);
        MUST(usd_sum_cmp(line.cost, c.cost) == 0);
    }
    if (spend_line_read(&msg, &line, &err) == 0) {
        check_totals(&line);
    } else {
        MUST(err.msg[0]);
    }
}

/* ---- the line of a result ---- */

static void check_reply(struct span in)
{
    _cleanup_(buf_fini) struct buf text;
    struct span line = span_trim(in);
    buf_init(&text, 2 * in.n + 16);
    if (jtext_check(in, NULL) < 0 || jtext_type(line) != JTEXT_OBJECT) {
        return;
    }
    MUST(fuzz_within(reply_body(line), line));
    reply_text(reply_body(line), &text);
    reply_error(line, &text);
    MUST(!text.failed);
}

/* ---- an invoice ---- */

static void on_difference(void *ctx, const struct audit_difference *d)
{
    (void)ctx;
    MUST(d->kind == AUDIT_INVOICE && d->where[0] && d->expected[0] && d->found[0]);
}

static void on_note(void *ctx, const char *text)
{
    (void)ctx;
    MUST(text[0]);
}

/* What all bills add up to is what the invoice adds up to. */
static void check_bills(struct audit *a)
{
    struct err err = {0};
    struct usd_sum sum = {0};
    uint64_t rows = 0;
    for (uint64_t i = 0; i < a->named[NAME_BILL]; i++) {
        const struct audit_bill *b = slots_at(a->bill, i, &err);
        MUST(b && b->listed && memchr(b->id, '\0', sizeof(b->id)));
        usd_sum_add_sum(&sum, b->billed);
        rows += b->rows;
    }
    MUST(rows == a->counts.bills && usd_sum_cmp(sum, a->counts.billed) == 0);
}

static void check_invoice(struct span in)
{
    char path[FILE_PATH_MAX];
    int fd = file_of(in.p, in.n, path);
    struct err err = {0};
    const struct audit_conf conf = {
        .invoice = path, .on_difference = on_difference, .on_note = on_note};
    struct audit a = {.conf = &conf};
    struct audit_charge charge = {.known = true, .batch = "batch_1", .request = "req_2"};
    usd_sum_add(&charge.cost, usd_from_pico(123000000));
    MUST(idset_open(&a.names, file_folder(), &err) == 0);
    MUST(slots_open(&a.bill, file_folder(), sizeof(struct audit_bill), &err) == 0);
    if (audit_invoice_read(&a, &err) < 0) {
        MUST(err.msg[0] && err.code == ERR_INPUT);
    } else {
        check_bills(&a);
        MUST(audit_invoice_charge(&a, &charge, &err) == 0);
        MUST(audit_invoice_judge(&a, &err) == 0);
    }
    idset_close(a.names);
    slots_close(a.bill);
    close(fd);
}

/* ---- what an owner leaves for others ---- */

static void check_beat(struct span in)
{
    static struct beat first, second; /* too large for the stack */
    char path[2 * FILE_PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/beat.json", file_folder());
    file_write(path, in.p, in.n);
    if (!beat_read(file_folder(), &first)) {
        return;
    }
    MUST(first.gates_n <= BEAT_GATES_MAX && first.polls_n <= BEAT_POLLS_MAX);
    if (beat_write(file_folder(), &first) == 0) { /* it may be too long now */
        MUST(beat_read(file_folder(), &second));
        MUST(first.gates_n == second.gates_n && first.polls_n == second.polls_n);
        MUST(first.started_ms == second.started_ms);
    }
}

/* ---- words ---- */

static void check_access(const char *word)
{
    struct err err = {0};
    struct access_who who;
    MUST(access_parse(word, &who, &err) == 0 ? strchr(who.principal, ':') != NULL
                                             : err.msg[0] && err.hint[0]);
}

static void check_limit(const char *word)
{
    struct err err = {0};
    struct budget_default d;
    if (budget_default_parse(word, &d, &err) < 0) {
        MUST(err.msg[0] && err.hint[0]);
    } else {
        MUST(d.given == (word[0] != '\0'));
    }
}

/* Words are apart by NUL. */
static void check_words(struct span in)
{
    static char text[4096];
    char *words[WORDS_MAX];
    struct options o;
    struct err err = {0};
    int n = 0;
    size_t size = MIN_OF(in.n, sizeof(text) - 1);
    (void)fuzz_text(in, text, sizeof(text));
    for (size_t at = 0; at < size && n < WORDS_MAX; at += strlen(text + at) + 1) {
        words[n++] = text + at;
        check_access(text + at);
        check_limit(text + at);
    }
    MUST(options_parse(n, words, ~UINT64_C(0), &o, &err) == 0 || err.msg[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = span_of(data, n);
    switch (fuzz_number(&in, 1) % 5) {
    case 0: check_spend(in); break;
    case 1: check_reply(in); break;
    case 2: check_invoice(in); break;
    case 3: check_beat(in); break;
    case 4: check_words(in); break;
    }
    return 0;
}
