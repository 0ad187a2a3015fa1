#include "core/attr.h"

#include <stdlib.h>
#include <unistd.h>

void attr_freep(void *ptr_to_ptr)
{
    free(*(void **)ptr_to_ptr);
}

void attr_closep(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}
