/*
 * The multipart body of POST /v1/files, written to disk as it arrives.
 */
#ifndef SIM_UPLOAD_H
#define SIM_UPLOAD_H

#include "tests/sim/file_store.h"

struct MHD_Connection;

enum {
    UPLOAD_BYTES_MAX = 512 << 20,       /* OpenAI, Files: any file */
    UPLOAD_BATCH_BYTES_MAX = 200 << 20, /* OpenAI, Batch guide: one with purpose batch */
};

struct upload {
    struct file_store *files;
    struct MHD_PostProcessor *form;
    char *path; /* of the scratch file; NULL when there is no part `file` */
    int fd;
    int64_t bytes;
    bool is_broken; /* the disk failed */
    char filename[FILENAME_MAX_BYTES];
    char purpose[PURPOSE_MAX];
    char anchor[32];
    char seconds[24];
};

/* NULL when the request has no multipart body. */
struct upload *upload_begin(struct MHD_Connection *connection, struct file_store *files);
struct upload *upload_end(struct upload *u);

void upload_feed(struct upload *u, const char *data, size_t n);

/* No more will come: flushes the file. 0, or -1 with *p when the request is no good. */
int upload_finish(struct upload *u, struct problem *p);

#endif
