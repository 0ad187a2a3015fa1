#include "cli/notify.h"

#include "core/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct notify notify_from(const char *socket, const char *watchdog_usec)
{
    bool named = socket && (socket[0] == '/' || socket[0] == '@') &&
                 strlen(socket) < sizeof(((struct sockaddr_un *)0)->sun_path);
    struct notify n = {.socket = named ? socket : NULL};
    if (watchdog_usec) {
        long long usec = strtoll(watchdog_usec, NULL, 10);
        n.watchdog_ms = usec > 0 ? MAX_OF(usec / 2000, 1) : 0; /* twice as often */
    }
    return n;
}

void notify_say(const struct notify *n, const char *lines)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (!n->socket) {
        return;
    }
    size_t len = strlen(n->socket);
    memcpy(to.sun_path, n->socket, len);
    if (to.sun_path[0] == '@') {
        to.sun_path[0] = '\0'; /* a name that is no file */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
        (void)sendto(fd, lines, strlen(lines), MSG_NOSIGNAL | MSG_DONTWAIT,
                     (const struct sockaddr *)&to, size);
        close(fd);
    }
}
