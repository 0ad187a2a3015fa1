#include "cli/signals.h"

#include "core/attr.h"

#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

int signals_take(struct signals *ret, struct err *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    ret->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (ret->fd < 0) {
        return err_set(err, ERR_FAIL, "could not wait: %s", strerror(errno));
    }
    sigprocmask(SIG_BLOCK, &set, &ret->before);
    return 0;
}

int signals_came(const struct signals *s)
{
    struct signalfd_siginfo info;
    return read(s->fd, &info, sizeof(info)) == sizeof(info) ? -(128 + (int)info.ssi_signo)
                                                            : 0;
}

void signals_give(struct signals *s)
{
    if (s->fd >= 0) {
        sigprocmask(SIG_SETMASK, &s->before, NULL);
        attr_closep(&s->fd);
    }
}
