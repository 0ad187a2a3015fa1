#include "cli/who.h"

#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

void who_am_i(char *ret, size_t size)
{
    struct passwd entry, *found = NULL;
    char room[1024];
    if (getpwuid_r(geteuid(), &entry, room, sizeof(room), &found) == 0 && found) {
        snprintf(ret, size, "%s", found->pw_name);
    } else {
        snprintf(ret, size, "uid %u", (unsigned)geteuid());
    }
}
