/*
 * page.h - the next lines of a run's files, read and judged, ready to be put on a queue.
 *
 * page_fill runs on the thread pool: it takes lines from the source until it holds PAGE_LINES
 * or PAGE_BYTES, checks each, and looks its custom_id up among those before it. Lines up to
 * `skip` are looked at for their custom_id only: they are on the queue already. The page owns
 * copies of everything; it may be filled again.
 */
#ifndef OFFPEAK_PRODUCER_PAGE_H
#define OFFPEAK_PRODUCER_PAGE_H

#include "core/buf.h"
#include "core/err.h"
#include "core/record.h"
#include "producer/source.h"

#include <stdatomic.h>

#define PAGE_LINES 990 /* with the run's row they fit one commit */
#define PAGE_BYTES ((size_t)4 << 20)

struct idset;

struct page_line {
    uint64_t number;
    const char *file; /* where it stands, for people; the source's */
    uint64_t file_line;
    struct span text;      /* what goes on the queue */
    struct span custom_id; /* raw JSON string within the text, or empty */
    const char *why;       /* NULL: accepted; else owned by the page */
    const char *remedy;
};

struct page {
    struct page_line lines[PAGE_LINES];
    unsigned n;
    uint64_t last, blank; /* lines looked at so far, and how many were blank */
    bool end;             /* nothing is left */
    struct digest digest; /* of the source so far */
    struct buf text, words;
    int rc;
    struct err err;
};

/* What a filling needs; the atomic stops it early (the page is then of no use). */
struct page_source {
    struct source *source;
    struct idset *ids;
    uint64_t skip;
    atomic_bool stop;
};

void page_init(struct page *s, size_t max_line);
void page_fini(struct page *s);
void page_fill(struct page *s, struct page_source *from); /* sets rc and err */

#endif
