/*
 * input.h - one file read line by line in bounded memory, hashed as it is read.
 *
 * Open, input_next until it returns 0, close. A line is borrowed until the next call. Lines are
 * numbered from 1 as an editor numbers them: blank lines are skipped and counted, and keep the
 * numbers of those behind them right. A byte-order mark at the very start and a CR before the
 * line feed belong to the file, not to the line. Of a line longer than `max_line` only the first
 * INPUT_KEPT bytes are kept; its full size is told, so that it can be refused by name.
 *
 * With a separator the file is a table (producer/csv.h): a "line" is one record, which has the
 * number of the line it begins on; the other lines it covers count as blank. Compressed files are
 * unpacked as they are read (producer/unpack.h); numbers, sizes and hash are of the text.
 */
#ifndef OFFPEAK_PRODUCER_INPUT_H
#define OFFPEAK_PRODUCER_INPUT_H

#include "core/err.h"
#include "core/buf.h"
#include "core/hash.h"

#define INPUT_CHUNK    ((size_t)1 << 20)  /* read at once */
#define INPUT_KEPT     ((size_t)64 << 10) /* kept of a line that is too long */
#define INPUT_LINE_MAX ((size_t)8 << 20)  /* of a line, unless configured */

struct input;

struct input_conf {
    const char *path;  /* a regular file */
    const char *label; /* how messages name it */
    size_t max_line;   /* 0: INPUT_LINE_MAX; at least INPUT_KEPT */
    char separator;    /* of a table; 0: lines */
    struct hash *hash; /* gets every byte handed out or passed over; borrowed, or NULL */
};

struct input_line {
    uint64_t number;
    struct span text; /* without its line end */
    uint64_t bytes;   /* of the line, also of what was not kept */
    bool too_long;
};

int input_open(struct input **ret, const struct input_conf *conf, struct err *err);
int input_next(struct input *in, struct input_line *ret,
               struct err *err);              /* 1, 0 at the end */
uint64_t input_lines(const struct input *in); /* numbered so far, blank ones too */
uint64_t input_blank(const struct input *in); /* of them, blank */
uint64_t input_bytes(const struct input *in); /* hashed so far */
struct input *input_close(struct input *in);

#endif
