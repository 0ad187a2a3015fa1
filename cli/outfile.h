/*
 * outfile.h - a file that appears whole or not at all.
 *
 * outfile_open writes to a hidden file beside the one that was asked for; outfile_commit makes it
 * durable and renames it; outfile_close without a commit leaves nothing behind. A path that is
 * there and is no regular file (a pipe, /dev/null) and "-" are written directly. Writing is
 * buffered; errors name the file and are ERR_FAIL.
 */
#ifndef OFFPEAK_CLI_OUTFILE_H
#define OFFPEAK_CLI_OUTFILE_H

#include "core/buf.h"
#include "core/err.h"

struct outfile;

int outfile_open(struct outfile **ret, const char *path, struct err *err);
int outfile_line(struct outfile *o, struct span line,
                 struct err *err); /* adds the line feed */
int outfile_flush(struct outfile *o, struct err *err);
int outfile_commit(struct outfile *o, struct err *err);
struct outfile *outfile_close(struct outfile *o);
/* Before work begins: could `path` be written? ERR_USAGE when not. */
int outfile_check(const char *path, struct err *err);

#endif
