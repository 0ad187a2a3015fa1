/*
 * infile.h - the file, or files, that a run is made of.
 *
 * A regular file is used where it is. Standard input, and any pipe, is copied into the data folder
 * first and treated as a file from then on; the copy is removed once every line is queued.
 */
#ifndef OFFPEAK_CLI_INFILE_H
#define OFFPEAK_CLI_INFILE_H

#include "cli/cli.h"
#include "core/record.h"
#include "producer/submit.h"

struct infile {
    char path[CLI_PATH_MAX]; /* of the first */
    char label[256];         /* how messages name them together */
    struct source_conf
        source; /* all of them, and how they are read; points into this struct */
    const char *paths[OPTION_OPERANDS_MAX];
    bool copied, has_copy; /* must be copied first; path is the copy */
    char run[RUN_MAX + 1]; /* from --run, or made up */
    struct submit_digest digest;
};

/* The label, and the run id when it can be known before reading: for the first line of output.
 * True when the file must be copied. */
bool infile_name(struct infile *f, const struct options *o, int64_t wall_ms);
/* Copies if need be and reads the files once; names the run when nobody did. */
int infile_open(struct infile *f, const struct cli *c, struct err *err);
void infile_remove_copy(struct infile *f);

#endif
