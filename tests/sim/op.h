/*
 * The operations of the simulated API: what faults are aimed at and statistics count.
 * `batch` and `line` are not requests: a fault on them changes what becomes of a batch or of
 * one of its lines.
 */
#ifndef SIM_OP_H
#define SIM_OP_H

enum op {
    OP_FILES_CREATE,
    OP_FILES_LIST,
    OP_FILES_GET,
    OP_FILES_CONTENT,
    OP_FILES_DELETE,
    OP_BATCHES_CREATE,
    OP_BATCHES_GET,
    OP_BATCHES_LIST,
    OP_BATCHES_CANCEL,
    OP_CHAT,
    OP_RESPONSES,
    OP_EMBEDDINGS,
    OP_MODELS_LIST,
    OP_BATCH,
    OP_LINE,
    OP_COUNT,
    OP_NONE = OP_COUNT, /* /sim/ and unknown addresses: no faults, not counted */
};

const char *op_name(enum op op);

/* OP_COUNT when there is no such operation. */
enum op op_find(const char *name);

#endif
