/* The program: what happens, in order, whatever the command is. */
#include "cli/cli.h"
#include "cli/help.h"
#include "core/failpoint.h"
#include "core/redact.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

/* ---- errors and signals ---- */

static int report(const struct err *err, int rc)
{
    _cleanup_(buf_fini) struct buf text;
    buf_init(&text, REDACT_LINE_MAX);
    if (err->msg[0]) {
        redact(&text, span_str(err->msg));
        fprintf(stderr, "offpeak: %s\n", text.n ? text.p : "");
    }
    if (err->hint[0]) {
        buf_reset(&text);
        redact(&text, span_str(err->hint));
        fprintf(stderr, "hint: %s\n", text.n ? text.p : "");
    }
    return -rc;
}

/* Before a loop runs nothing is at the provider because of us, so we may just leave. */
static void on_early_signal(int signo)
{
    _exit(128 + signo);
}

/* Who started us may have closed 0, 1 or 2: else the store's files would get these numbers, and
 * what is printed would go into them. Writing to such a stream fails as before. */
static void take_standard_streams(void)
{
    int fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO) {
        fd = dup(fd);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void set_signals(void)
{
    struct sigaction leave = {.sa_handler = on_early_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &leave, NULL);
    sigaction(SIGTERM, &leave, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}

/* ---- environment ---- */

static struct cli_env take_environment(void)
{
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");
    struct cli_env env = {
        .api_key = getenv("OPENAI_API_KEY"),
        .api_key_file = getenv("OPENAI_API_KEY_FILE"),
        .state_home = getenv("XDG_STATE_HOME"),
        .home = getenv("HOME"),
        .notify_socket = getenv("NOTIFY_SOCKET"),
        .watchdog_usec = getenv("WATCHDOG_USEC"),
        .plain = (no_color && no_color[0]) || (term && !strcmp(term, "dumb")),
    };
    unsetenv(
        "OPENAI_API_KEY"); /* the string itself stays ours, until secret_load wipes it */
    return env;
}

static void wipe_environment(const struct cli_env *env)
{
    if (env->api_key) {
        explicit_bzero(env->api_key, strlen(env->api_key));
    }
}

static int arm_failpoints(struct err *err)
{
#ifdef OFFPEAK_FAILPOINTS
    return failpoint_arm(getenv("OFFPEAK_FAILPOINT"), getenv("OFFPEAK_FAILPOINT_LOG"),
                         err);
#else
    (void)err;
    return 0;
#endif
}

/* ---- the data folder ---- */

static int make_folders(const char *path, struct err *err)
{
    char part[CLI_PATH_MAX];
    snprintf(part, sizeof(part), "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0700) && errno != EEXIST) {
            return err_set(err, ERR_FAIL, "could not create '%s': %s", part,
                           strerror(errno));
        }
        *slash = '/';
    }
    return 0;
}

static int find_data(struct cli *c, struct err *err)
{
    int n;
    if (c->opt->data) {
        n = snprintf(c->data, sizeof(c->data), "%s", c->opt->data);
    } else if (c->env.state_home && c->env.state_home[0] == '/') {
        n = snprintf(c->data, sizeof(c->data), "%s/offpeak", c->env.state_home);
    } else if (c->env.home && c->env.home[0] == '/') {
        n = snprintf(c->data, sizeof(c->data), "%s/.local/state/offpeak", c->env.home);
    } else {
        return err_set(err, ERR_USAGE,
                       "could not choose a data folder: HOME is not set; use --data");
    }
    if (n <= 0 || (size_t)n >= sizeof(c->data)) {
        return err_set(err, ERR_USAGE,
                       "could not use the data folder: its path is empty or too long");
    }
    return c->opt->data ? 0 : make_folders(c->data, err);
}

/* ---- running a command ---- */

static int check_operands(const struct command *cmd, const struct options *o,
                          struct err *err)
{
    if (o->operands_n >= cmd->operands_min && o->operands_n <= cmd->operands_max) {
        return 0;
    }
    if (o->operands_n > cmd->operands_max) {
        err_set(err, ERR_USAGE, "could not use '%s': too many arguments",
                o->operands[cmd->operands_max]);
    } else {
        err_set(err, ERR_USAGE, "could not run '%s': it needs %s", cmd->name,
                cmd->operands);
    }
    err_hint(err, "offpeak help %s", cmd->name);
    return -ERR_USAGE;
}

/* Data that cannot be written is an error, also when the pipe is gone. */
static int finish_output(int rc, struct err *err)
{
    if ((fflush(stdout) || ferror(stdout)) && rc == 0) {
        return err_set(err, ERR_FAIL, "could not write to standard output: %s",
                       strerror(errno));
    }
    return rc;
}

static int run_command(const struct command *cmd, struct cli *c, struct err *err)
{
    struct settings settings = {0};
    int rc = check_operands(cmd, c->opt, err);
    if (rc >= 0 && cmd->needs & NEEDS_DATA) {
        rc = find_data(c, err);
    }
    if (rc >= 0 && cmd->needs & NEEDS_CONFIG) {
        rc = settings_load(&settings, c->opt, environ, err);
        c->set = &settings;
    }
    if (!(cmd->takes & OPT(KEY_FILE))) {
        wipe_environment(&c->env);
    }
    if (rc >= 0) {
        progress_init(&c->notice, c->opt->quiet, c->env.plain);
        if (cmd->doing) {
            progress_notice(&c->notice, cmd->doing);
        }
        rc = cmd->run(c, err);
        progress_clear(&c->notice);
        rc = finish_output(rc, err);
    }
    if (settings.config) {
        settings_fini(&settings);
    }
    return rc;
}

static int unknown_command(const char *name, struct err *err)
{
    err_set(err, ERR_USAGE, "could not run '%s': there is no such command", name);
    const char *near = command_nearest(name);
    if (near) {
        err_hint(err, "did you mean 'offpeak %s'?", near);
    } else {
        err_hint(err, "offpeak --help lists the commands");
    }
    return -ERR_USAGE;
}

static int help(const char *name, const char *of, struct err *err)
{
    const struct command *cmd = name ? command_find(name) : NULL;
    if (name && !strcmp(name, "--man")) {
        cmd = of ? command_find(of) : NULL;
        if (of && !cmd) {
            return unknown_command(of, err);
        }
        help_man(cmd);
        return finish_output(0, err);
    }
    if (name && !strcmp(name, "--markdown")) {
        help_markdown();
        return finish_output(0, err);
    }
    if (name && !cmd) {
        return unknown_command(name, err);
    }
    if (cmd) {
        help_command(cmd);
    } else {
        help_overview();
    }
    return finish_output(0, err);
}

static bool is_one_of(const char *word, const char *a, const char *b)
{
    return !strcmp(word, a) || !strcmp(word, b);
}

static int dispatch(int argc, char **argv, struct cli *c, struct err *err)
{
    const char *name = argc > 1 ? argv[1] : "help";
    if (is_one_of(name, "--version", "version")) {
        printf("offpeak %s\n", OFFPEAK_VERSION);
        return finish_output(0, err);
    }
    if (is_one_of(name, "--help", "-h") || !strcmp(name, "help")) {
        return help(argc > 2 ? argv[2] : NULL, argc > 3 ? argv[3] : NULL, err);
    }
    const struct command *cmd = command_find(name);
    if (!cmd) {
        return unknown_command(name, err);
    }
    struct options options;
    int rc = options_parse(argc - 2, argv + 2, cmd->takes, &options, err);
    if (rc >= 0 && options.help) {
        return help(name, NULL, err);
    }
    c->opt = &options;
    rc = rc < 0 ? rc : run_command(cmd, c, err);
    if (rc == -ERR_USAGE && !err->hint[0]) {
        err_hint(err, "offpeak help %s", cmd->name);
    }
    return rc;
}

int main(int argc, char **argv)
{
    take_standard_streams();
    struct err err = {0};
    struct cli cli = {.program = argc > 0 ? argv[0] : "offpeak",
                      .env = take_environment()};
    set_signals();
    int rc = secret_harden_process(&err);
    if (rc >= 0) {
        rc = arm_failpoints(&err);
    }
    if (rc >= 0) {
        rc = dispatch(argc, argv, &cli, &err);
    }
    wipe_environment(&cli.env);
    return rc < 0 ? report(&err, rc) : 0;
}
