#include "tests/sim/op.h"

#include <string.h>

static const char *const names[OP_COUNT] = {
    [OP_FILES_CREATE] = "files.create",
    [OP_FILES_LIST] = "files.list",
    [OP_FILES_GET] = "files.get",
    [OP_FILES_CONTENT] = "files.content",
    [OP_FILES_DELETE] = "files.delete",
    [OP_BATCHES_CREATE] = "batches.create",
    [OP_BATCHES_GET] = "batches.get",
    [OP_BATCHES_LIST] = "batches.list",
    [OP_BATCHES_CANCEL] = "batches.cancel",
    [OP_CHAT] = "chat",
    [OP_RESPONSES] = "responses",
    [OP_EMBEDDINGS] = "embeddings",
    [OP_MODELS_LIST] = "models.list",
    [OP_BATCH] = "batch",
    [OP_LINE] = "line",
};

const char *op_name(enum op op)
{
    return op < OP_COUNT ? names[op] : "none";
}

enum op op_find(const char *name)
{
    int i = 0;
    while (i < OP_COUNT && strcmp(names[i], name) != 0) {
        i++;
    }
    return (enum op)i;
}
