/*
 * Lines of a file, one at a time, in bounded memory.
 */
#ifndef SIM_LINE_READER_H
#define SIM_LINE_READER_H

#include <stddef.h>

enum { LINE_BYTES_MAX = 32 << 20 };

struct line_reader;

/* Takes the descriptor. */
struct line_reader *line_reader_create(int fd);
struct line_reader *line_reader_destroy(struct line_reader *r);

/* 1 and a line without its break, valid until the next call; 0 at the end; -1 when it cannot
 * be read or is longer than LINE_BYTES_MAX. */
int line_reader_next(struct line_reader *r, const char **ret_line, size_t *ret_len);

#endif
