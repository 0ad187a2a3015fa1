#!/usr/bin/python3
"""The rules for good commands (docs/CLI.md, "By the rules"), each of its rows checked.

A row of the table and a check of this file have the same name; one without the other is an error,
and so is a command that the table COMMANDS does not know how to call. Run a single row with
--only NAME.

`first-output` asks for something on the terminal within 100 ms of the start, on a folder with
20,000 results: by the clock, less the time in which the command stood in the queue for a CPU
(schedstat), and less what `offpeak --version` needs at that moment, each the best of twenty. So
neither a busy machine nor sanitizers, with which a program takes some 20 ms to start, make it
late, and whatever it computes, reads or waits for itself does.
"""
import ctypes
import json
import os
import pathlib
import pty
import re
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import lib  # noqa: E402

FIRST_MS, FIRST_TRIES = 100, 20
REAL_JOBS = 20000
ESCAPE = b"\x1b"
CHECKS = {}


def row(name):
    def keep(check):
        CHECKS[name] = check
        return check
    return keep


# ---- how every command is called, on a folder whose run 'night' is over ----

COMMANDS = {
    "audit": [],
    "budget": ["show"],
    "cancel": ["--run", "night"],
    "cat": ["spend"],
    "completion": ["bash"],
    "config": ["show"],
    "doctor": [],
    "explain": ["id-1"],
    "import": ["{jobs}", "{batch_out}"],
    "results": ["--run", "night", "-o", "{out}"],
    "retry": ["--failed", "--run", "night"],
    "run": ["{jobs}", "--run", "night"],
    "spend": [],
    "submit": ["{jobs}", "--run", "night"],
    "topics": ["describe"],
    "watch": ["--run", "night"],
}
ON_THE_NETWORK = ["run", "doctor"]
DAEMONS = ["scheduler", "worker"]  # work on a broker until they are told to end: tests/kafka


class World:
    """Two providers and two folders: a small one for most rows, and one with real data."""

    def __init__(self, place):
        self.place, self.n = place, 0
        self.sim = place.sim()
        self.jobs = self.write_jobs("jobs.jsonl", 5)
        self.help = {}
        self.overview = self.call("help").out
        self.names = re.findall(r"^  ([a-z]+) +\S", self.overview.split("Commands:")[1], re.M)
        self.called = [name for name in self.names if name not in DAEMONS]
        for name in self.names:
            self.help[name] = self.call("help", name).out
        self.small = self.folder("small", self.jobs)
        self._real = None

    def write_jobs(self, name, n, model="gpt-4o-mini"):
        return self.place.write(name, lib.lines_of(
            lib.job(f"id-{i}", f"question {i} of {name}", model) for i in range(1, n + 1)))

    def env(self, sim=None, **more):
        env = self.place.environment(sim or self.sim, **more)
        env["OFFPEAK_BATCH_POLL"] = env["OFFPEAK_BATCH_LINGER"] = "50ms"
        return env

    def call(self, *arguments, env=None, **kwargs):
        return self.place.offpeak(*arguments, env=env or self.env(), **kwargs)

    def fresh(self):
        self.n += 1
        return self.place.path(f"data-{self.n}")

    def folder(self, name, jobs):
        """A data folder whose run 'night' is over."""
        data = self.place.path(name)
        done = self.call("run", jobs, "--data", data, "--run", "night", "-q",
                         "-o", self.place.path(f"{name}.out"))
        lib.equal(f"a folder with the results of {jobs.name}", (done.code, done.err), (0, ""))
        return {"data": data, "jobs": jobs, "batch_out": self.batch_out(name),
                "out": self.place.path(f"{name}.again")}

    def batch_out(self, name):
        """Its answers as a provider's output file has them."""
        lines = self.place.path(f"{name}.out").read_text().splitlines()
        for i, line in enumerate(lines):
            result = json.loads(line)
            lines[i] = json.dumps({k: result[k] for k in ("id", "custom_id", "response", "error")})
        return self.place.write(f"{name}.batch", "\n".join(lines) + "\n")

    def real(self):
        if not self._real:
            self._real = self.folder("real", self.write_jobs("real.jsonl", REAL_JOBS))
        return self._real

    def line(self, name, on):
        """The command line that calls a command."""
        command = [name, *(str(a).format(**on) for a in COMMANDS[name])]
        return command + (["--data", str(on["data"])] if "--data" in self.help[name] else [])

    def held(self):
        return self.place.sim(hold=True)


# ---- a terminal ----


class Terminal:
    """A command on a terminal of its own: all that it writes, and when the first of it came."""

    def __init__(self, world, *arguments, env=None, columns=80, typed=b""):
        env = dict(env or world.env(), TERM="xterm")
        env.pop("NO_COLOR", None)
        self.start(world, arguments, env, columns, typed)

    def start(self, world, arguments, env, columns, typed):
        command = [str(a) for a in (lib.options.offpeak, *arguments)]
        self.began, self.text, self.first_ms, self.code = time.monotonic(), b"", None, None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(command[0], command, env)
        size = struct.pack("HHHH", 40, columns, 0, 0)
        ctypes.CDLL(None).ioctl(self.fd, 0x5414, size)  # TIOCSWINSZ
        if typed:
            os.write(self.fd, typed)

    def read(self, seconds, until=None):
        """Reads until the end, or until the text is there; b"": any text."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (
                self.text if until == b"" else until and until in self.text):
            if not select.select([self.fd], [], [], 0.05)[0]:
                continue
            try:
                more = os.read(self.fd, 65536)
            except OSError:
                more = b""
            if not more:
                break
            if self.first_ms is None:
                self.first_ms = (time.monotonic() - self.began) * 1000 - self.queued_ms()
            self.text += more
        return self.text

    def queued_ms(self):
        """How long it was ready and no CPU was free: part of this may be after what it wrote, and
        then the reader was late by at least as much."""
        try:
            return int(pathlib.Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e6
        except OSError:
            return 0

    def end(self, number=0):
        """Its exit code; with a number it is sent that signal first. None: it went on."""
        if number:
            os.kill(self.pid, number)
        self.read(90)
        for _ in range(1800):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                break
            time.sleep(0.05)
        else:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
        return self.code

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


# ---- help ----


@row("help")
def check_help(w):
    pages = {a: w.call(*a) for a in ((), ("help",), ("-h",), ("--help",))}
    lib.that("alone, and asked for help, it prints the overview",
             all(p.code == 0 and p.out == w.overview for p in pages.values()))
    for name in w.names:
        same = [w.call(*a).out for a in (("help", name), (name, "-h"), (name, "--help"))]
        page = w.help[name]
        lib.that(f"help of '{name}'", same == [page] * 3 and page.startswith(f"offpeak {name}: ")
                 and f"Usage: offpeak {name}" in page, short_of(page))
    # asked for beside other things it is still an answer
    lib.equal("help beside options", w.call("run", "x", "--json", "--help").out, w.help["run"])


def short_of(text):
    return text.splitlines()[0] if text else "(nothing)"


@row("examples-first")
def check_examples(w):
    for name in w.names:
        page = w.help[name]
        shown = re.findall(rf"^  (?:.*\| )?offpeak {name}\b(.*)$", page.split("Usage:")[0], re.M)
        known = set(re.findall(r"(--[a-z-]+)", page.split("Usage:")[-1]))
        used = set(re.findall(r"(?<!\S)(--[a-z-]+)", " ".join(shown)))
        lib.that(f"examples of '{name}' come first and use options it has",
                 (shown or f"offpeak {name}" in page.split("Usage:")[0]) and used <= known,
                 ", ".join(sorted(used - known)))
    lib.that("the overview begins with examples",
             w.overview.index("  offpeak run jobs.jsonl") < w.overview.index("Commands:"))


@row("man")
def check_man(w):
    first = w.call("help", "--man").out
    lib.that("offpeak(1) lists every command",
             all(re.search(rf"\b{name}\b", first) for name in w.names))
    for name in w.names:
        page = w.call("help", "--man", name).out.replace("\\-", "-")
        options = re.findall(r"^ +(?:-[a-z], )?(--[a-z-]+)", w.help[name], re.M)
        parts = [f".SH {p}" in page for p in ("NAME", "SYNOPSIS", "EXAMPLES", "OPTIONS",
                                              "EXIT STATUS")]
        lib.that(f"offpeak-{name}(1) has all parts and options",
                 page.startswith(".TH") and all(parts) and all(o in page for o in options))


@row("completion")
def check_completion(w):
    def complete(*words):
        script = ("eval \"$(offpeak completion bash)\"; COMP_WORDS=(%s); COMP_CWORD=%d; "
                  "_offpeak; echo ${COMPREPLY[@]}" % (shlex.join(words), len(words) - 1))
        env = dict(w.env(), PATH=f"{lib.options.offpeak.parent}:/usr/bin:/bin")
        return subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True,
                              check=False).stdout.split()

    lib.that("bash completes commands", set(w.names) <= set(complete("offpeak", "")))
    lib.equal("... that begin so", sorted(complete("offpeak", "re")), ["results", "retry"])
    for name in w.names:
        options = re.findall(r"^ +(?:-[a-z], )?(--[a-z-]+)", w.help[name], re.M)
        lib.that(f"bash completes the options of '{name}'",
                 set(options) <= set(complete("offpeak", name, "--")))
    for shell in ("zsh", "fish"):
        script = w.call("completion", shell).out
        lib.that(f"{shell} completes every command",
                 all(re.search(rf"\b{name}\b", script) for name in w.names))


@row("did-you-mean")
def check_did_you_mean(w):
    for said, meant in ((["spnd"], "'offpeak spend'"), (["run", "x", "--dry-rum"], "--dry-run"),
                        (["config", "show", "--set", "batch.pol=1s"], "batch.poll")):
        done = w.call(*said)
        lib.that(f"'{said[-1]}' is not '{meant}' but near", done.code == 2
                 and "hint: " in done.err and meant in done.err, lib.short(done.err))


@row("no-abbreviations")
def check_no_abbreviations(w):
    for said in (["resu"], ["spen"], ["spend", "--jso"], ["config", "sho"]):
        done = w.call(*said, env=w.env(HOME=str(w.place.path("nobody"))))
        lib.that(f"'{' '.join(said)}' is refused", done.code == 2 and not done.out
                 and re.search("there is no such|it is not", done.err), lib.short(done.err))


@row("any-order")
def check_any_order(w):
    setting = ["--set", "batch.poll=7m"]
    orders = [["show", *setting, "--json"], [*setting, "--json", "show"],
              ["--json", "--set=batch.poll=7m", "show"], ["--json", *setting, "--", "show"]]
    out = {w.call("config", *o).out for o in orders}
    lib.that("options before and behind, '=' and '--'", len(out) == 1 and "7m" in out.pop())
    w.place.write("-odd.jsonl", pathlib.Path(w.jobs).read_text())
    done = subprocess.run([lib.options.offpeak, "run", "--dry-run", "--data", w.fresh(), "--",
                           "-odd.jsonl"], env=w.env(), cwd=w.place.folder, capture_output=True,
                          text=True, check=False)
    lib.that("a file whose name begins with a dash", "jobs            5" in done.stdout,
             lib.short(done.stderr))


@row("usual-names")
def check_usual_names(w):
    letters = {"--help": "-h", "--quiet": "-q", "--dry-run": "-n", "--out": "-o"}
    seen = {}
    for name in w.names:
        for letter, option in re.findall(r"^  (-[a-z]), (--[a-z-]+)", w.help[name], re.M):
            seen.setdefault(option, set()).add(letter)
        for option, letter in letters.items():
            if re.search(rf"^ .*{option}\b", w.help[name].split("Usage:")[1], re.M):
                seen.setdefault(option, set()).add(
                    letter if f"{letter}, {option}" in w.help[name] else "none")
    lib.equal("letters are the usual ones, and always the same", seen,
              {o: {letter} for o, letter in letters.items()})
    version = {w.call(a).out for a in ("--version", "version")}
    lib.that("--version is one line", len(version) == 1
             and re.fullmatch(r"offpeak \d+\.\d+\.\d+\n", version.pop()))


# ---- input and output ----


@row("streams")
def check_streams(w):
    data = w.fresh()
    done = w.call("run", w.jobs, "--data", data, "--run", "r", "-o", w.place.path("o"))
    lib.that("what a run says goes to standard error", done.code == 0 and done.out == ""
             and "5 of 5 jobs done" in done.err)
    done = w.call("results", "--run", "r", "--data", data, "-o", "-")
    lib.that("results go to standard output and nothing else does",
             [json.loads(line)["custom_id"] for line in done.out.splitlines()]
             and len(done.out.splitlines()) == 5 and "5 results of run 'r'" in done.err)
    done = w.call("spend", "--data", data)
    lib.that("so does what is asked for", "5 calls bought" in done.out and done.err == "")
    done = w.call("spend", "--data", w.place.path("nowhere"))
    lib.that("an error does not", done.out == "" and done.err.startswith("offpeak: "))
    full = open("/dev/full", "wb")
    done = subprocess.run([lib.options.offpeak, "spend", "--data", data], env=w.env(),
                          stdout=full, stderr=subprocess.PIPE, check=False)
    lib.that("what cannot be written is an error", done.returncode == 1
             and b"standard output" in done.stderr)


@row("machine-readable")
def check_machine_readable(w):
    other = {"cat": "json lines", "completion": "a script", "results": "json lines, or csv"}
    for name in w.called:
        line = w.line(name, w.small)
        if "--json" not in w.help[name]:
            lib.that(f"'{name}' has no --json: {other.get(name)}", name in other)
            continue
        done = w.call(*line, "--json")
        try:
            good = isinstance(json.loads(done.out), (dict, list)) and done.out.count("\n") == 1
        except ValueError:
            good = False
        lib.that(f"'{name} --json' is one line of JSON", good, short_of(done.out))
    w.call("budget", "set", "search", "--limit", "5", "--per", "day", "--data", w.small["data"])
    done = w.call("budget", "show", "--data", w.small["data"])
    lib.equal("a table has one line for each thing",
              [line.split()[:2] for line in done.out.splitlines()],
              [["search", period] for period in ("day", "month", "total")])
    for name in ("cat", "results"):
        line = [a if a != str(w.small["out"]) else "-" for a in w.line(name, w.small)]
        out = w.call(*line).out.splitlines()
        lib.that(f"'{name}' is JSON lines", out and all(json.loads(one) for one in out))


@row("dash")
def check_dash(w):
    with open(w.jobs, "rb") as file:
        done = w.call("run", "-", "-o", "-", "--data", w.fresh(), "--run", "r", stdin=file)
    lib.equal("'-' is standard input and standard output",
              (done.code, len([json.loads(line) for line in done.out.splitlines()])), (0, 5))


@row("quiet")
def check_quiet(w):
    quiet = [name for name in w.called if "--quiet" in w.help[name]]
    lib.that("commands that work have --quiet", set(quiet) >= {"run", "submit", "results",
                                                               "cancel", "retry", "import"})
    for name in quiet:
        line = w.line(name, w.small)
        on = Terminal(w, *line, "-q")
        code = on.end()
        done = w.call(*line, "-q")
        lib.equal(f"'{name} -q' prints nothing", (done.code, done.out, done.err, code, on.text),
                  (0, "", "", 0, b""))


@row("dry-run")
def check_dry_run(w):
    data, before = w.fresh(), w.sim.stats()["operations"]
    done = w.call("run", w.jobs, "--data", data, "-n", "--run", "r")
    lib.that("it says what a run would cost", done.code == 0
             and re.search(r"highest cost +\$0\.\d+", done.out)
             and re.search(r"calls to buy +5", done.out), lib.short(done.out))
    lib.equal("nothing was sent", w.sim.stats()["operations"], before)
    lib.that("nothing is stored", not (data / "queue").exists())


@row("never-asks")
def check_never_asks(w):
    for name in w.called:
        on = Terminal(w, *w.line(name, w.small))
        lib.equal(f"'{name}' on a terminal ends without a key", on.end(), 0)


def first_ms(w, enough, *line):
    """When the first of it comes: the best of some, none more once one was good enough."""
    best = None
    for _ in range(FIRST_TRIES):
        on = Terminal(w, *line)
        on.read(30, until=b"")
        on.kill()
        if on.first_ms is not None:
            best = min(best or on.first_ms, on.first_ms)
        if best is not None and best <= enough:
            break
    return best


@row("first-output")
def check_first_output(w):
    real = w.real()
    start = first_ms(w, 0, "--version")
    lib.that(f"the program itself starts within {FIRST_MS} ms", start and start <= FIRST_MS,
             f"{start:.0f} ms")
    for name in w.called:
        start = first_ms(w, 0, "--version")
        best = first_ms(w, start + FIRST_MS, *w.line(name, real))
        lib.that(f"'{name}' prints something within {FIRST_MS} ms of its start",
                 best is not None and best <= start + FIRST_MS,
                 f"{best:.0f} ms, --version {start:.0f} ms" if best else "nothing in 30 s")


@row("progress")
def check_progress(w):
    sim = w.held()
    env = w.env(sim)
    on = Terminal(w, "run", w.jobs, "--data", w.fresh(), "--run", "r", env=env)
    on.read(90, until=b"1 batch there")
    lib.that("a terminal has a bar that is drawn anew", lib.wait_for(lambda: re.search(
        rb"\n\[\.+\] 0 of 5 jobs done.*\r\x1b\[K\[\.+\] 0 of 5 jobs done", on.read(0.2), re.S)),
             repr(on.text[-100:]))
    off = w.place.start("run", w.jobs, "--data", w.fresh(), "--run", "r", env=env)
    lib.wait_for(lambda: re.search("batch .*submitted", off.stderr()))
    sim.go()
    lib.equal("which gives way to what it came to", on.end(), 0)
    lib.that("... at its end", b"5 of 5 jobs done in" in on.text)
    done = off.wait()
    lib.that("elsewhere there is a line for what happens, and no bar",
             done.code == 0 and "batch" in done.err and "jobs queued" in done.err
             and not re.search(r"[\r\x1b]|\[[#.]", done.err), lib.short(done.err))


@row("no-color")
def check_no_color(w):
    lines = {"run": ["run", w.jobs, "--data", w.fresh(), "--run", "r"],
             "watch": w.line("watch", w.small), "spend": w.line("spend", w.small),
             "results": w.line("results", w.small), "budget": w.line("budget", w.small)}
    coloured = Terminal(w, *lines["watch"])
    coloured.end()
    lib.that("a terminal may have colour", ESCAPE in coloured.text)
    for name, line in lines.items():
        for variable, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
            env = w.env()
            env.pop("NO_COLOR", None)
            env["TERM"] = "xterm"
            env[variable] = value
            on = Terminal.__new__(Terminal)
            on.start(w, line, env, 80, b"")
            code = on.end()
            lib.that(f"'{name}' with {variable}={value}: no escapes",
                     code == 0 and on.text and ESCAPE not in on.text, repr(on.text[:60]))


# ---- errors ----


def wrong_calls(w):
    nowhere = w.place.path("nowhere")
    bad = w.place.write("bad.csv", "a,b\n1,2\n")
    return [["walk"], ["run", "nofile.jsonl"], ["run", w.jobs, "--wat"], ["run", w.jobs, "-o"],
            ["run", w.jobs, "--lane", "pool"], ["run", w.jobs, "-o", nowhere / "out"],
            ["run", bad], ["run", w.jobs, "--set", "batch.poll=soon"],
            ["run", "--run", "x"], ["submit"], ["explain"], ["spend", "--data", nowhere],
            ["results", "--data", w.small["data"]],
            ["results", "--run", "nix", "--data", w.small["data"]],
            ["explain", "nix", "--data", w.small["data"]],
            ["cat", "nix", "--data", w.small["data"]], ["retry", "--data", w.small["data"]],
            ["cancel", "--data", w.small["data"]], ["watch", "--data", nowhere],
            ["budget", "set", "a", "--data", w.small["data"]], ["completion", "tcsh"]]


@row("errors")
def check_errors(w):
    for call in wrong_calls(w):
        done = w.call(*call)
        lines = done.err.splitlines()
        own = [line for line in lines if not line.startswith("reading ")]
        lib.that(f"'{' '.join(map(str, call))[-60:]}': what, why, and what to do",
                 done.code > 0 and len(own) == 2 and own[0].startswith("offpeak: ")
                 and own[1].startswith("hint: ") and done.out == "",
                 lib.short(done.err))


def other_version(store):
    """The file as another version of LMDB would have written it: magic, then the version."""
    magic = struct.pack("<I", 0xBEEFC0DE)
    at = store.index(magic) + 4
    version = struct.unpack_from("<I", store, at)[0]
    return store.replace(magic + struct.pack("<I", version), magic + struct.pack("<I", 999))


@row("exit-codes")
def check_exit_codes(w):
    table = dict(re.findall(r"^\| (\d+) \| (.+) \|$", CLI_MD.split("## Exit codes")[1], re.M))
    got = {}

    def run(code, *arguments, sim=None, env=None, jobs=w.jobs):
        done = w.call("run", jobs, "--data", w.fresh(), "--run", "r", *arguments,
                      env=env or w.env(sim))
        got[str(code)] = done.code
        lib.equal(f"exit {code}: {table[str(code)]}", done.code, code)

    faults = [{"on": "line", "nth": 2, "do": "error", "status": 400, "code": "invalid_value"}]
    bad = w.place.write("one-bad.jsonl", pathlib.Path(w.jobs).read_text() + "{oops\n")
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    run(0)
    run(1, "-o", "/dev/full")
    run(2, "--lane", "walk")
    run(3, sim=w.place.sim(faults=faults))
    run(4, env=w.place.environment(w.sim, key=None))
    run(5, "--set", "http.give_up=1s",
        env=w.env(f"http://127.0.0.1:{closed.getsockname()[1]}/v1"))
    run(6, jobs=bad)
    run(8, "--max-cost", "0.000001")
    for code, number in ((130, signal.SIGINT), (143, signal.SIGTERM)):
        sim = w.held()
        under_way = w.place.start("run", w.jobs, "--data", w.fresh(), "--run", "r",
                                  env=w.env(sim))
        lib.wait_for(lambda: "submitted" in under_way.stderr())
        under_way.signal(number)
        got[str(code)] = under_way.wait().code
        lib.equal(f"exit {code}: {table[str(code)]}", got[str(code)], code)
    data = w.fresh()
    w.call("submit", w.jobs, "--data", data, "--run", "r", "-q")
    store = data / "queue" / "data.mdb"
    store.write_bytes(other_version(store.read_bytes()))
    got["7"] = w.call("spend", "--data", data).code
    lib.equal(f"exit 7: {table['7']}", got["7"], 7)
    lib.equal("every code of the table was seen", set(got), set(table))


@row("checks-first")
def check_checks_first(w):
    before = w.sim.stats()["operations"]
    for wrong in (["-o", w.place.path("nowhere") / "out"], ["--errors", "e"],
                  ["--set", "batch.poll=soon"], ["--lane", "walk"], ["--first", "0"],
                  ["--template", "no-such-file"], ["--max-cost", "much"]):
        data = w.fresh()
        done = w.call("run", w.jobs, "--data", data, *wrong)
        lib.that(f"{wrong[0]} {wrong[-1]}: refused before anything is made",
                 done.code in (2, 6) and not data.exists(), lib.short(done.err))
    lib.equal("and before anything is sent", w.sim.stats()["operations"], before)


@row("dangerous")
def check_dangerous(w):
    data = w.fresh()
    w.call("submit", w.jobs, "--data", data, "--run", "r", "-q")
    rows = w.call("cat", "runs.default", "--data", data).out
    done = w.call("cancel", "--data", data)
    lib.that("cancel wants the run named", done.code == 2 and "--run" in done.err)
    lib.equal("and did nothing", w.call("cat", "runs.default", "--data", data).out, rows)
    text = pathlib.Path(w.jobs).read_text()
    store = data / "queue" / "data.mdb"
    for out, words in ((w.jobs, "the input itself"), (store, "data folder's own")):
        done = w.call("run", w.jobs, "--data", data, "--run", "r", "-o", out)
        lib.that(f"results do not replace {words}", done.code == 2 and words in done.err)
    lib.that("both are there", pathlib.Path(w.jobs).read_text() == text and store.stat().st_size)
    done = w.call("cancel", "--run", "r", "--data", data)
    lib.that("cancelled by its name", done.code == 0 and "is cancelled" in done.err)


# ---- the next step ----


@row("next-command")
def check_next_command(w):
    data = w.fresh()
    env = dict(w.env(), PATH=f"{lib.options.offpeak.parent}:/usr/bin:/bin")

    def follow(text, pattern):
        found = re.search(pattern, text)
        if not lib.that("the next command is named", found, lib.short(text)):
            return None
        return subprocess.run(["bash", "-c", found.group(1)], env=env, capture_output=True,
                              text=True, cwd=w.place.folder, check=False)

    done = w.call("submit", w.jobs, "--data", data, "--run", "r")
    ran = follow(done.err, "work it off with: (.*)")
    lib.that("and it works", ran and ran.returncode == 0)
    done = w.call("results", "--data", data)
    lib.that("a run that was forgotten is named", "--run r" in done.err)
    done = w.call("run", w.jobs, "--data", data, "--run", "r", env=env)
    seen = follow(done.err, r"spend:   (offpeak spend .*)")
    lib.that("and what a run cost is one command away", seen and "5 calls bought" in seen.stdout)
    w.call("budget", "pause", "default", "--data", data)
    other = w.write_jobs("other.jsonl", 2)
    done = w.call("run", other, "--data", data, "--run", "s", env=env)
    lib.equal("a closed gate", done.code, 8)
    opened = follow(done.err, r"(offpeak budget resume \S+)")
    lib.that("is opened by what the message says", opened is not None)


@row("resumes")
def check_resumes(w):
    sim, data = w.held(), w.fresh()
    line = ["run", w.jobs, "--data", data, "--run", "r", "-o", w.place.path("resumed")]
    killed = w.place.start(*line, env=w.env(sim))
    lib.wait_for(lambda: "submitted" in killed.stderr())
    killed.signal(signal.SIGKILL)
    killed.wait(dies=True)
    sim.go()
    done = w.call(*line, env=w.env(sim))
    results = w.place.path("resumed").read_text().splitlines()
    lib.equal("killed, the same command continues", (done.code, len(results)), (0, 5))
    lib.equal("and buys nothing twice", sim.invoice()["requests_billed_twice"], 0)


@row("partial-results")
def check_partial_results(w):
    sim = w.place.sim(arguments=("--latency-ms", "50"))
    data, jobs = w.fresh(), w.write_jobs("many.jsonl", 100)
    going = w.place.start("run", jobs, "--data", data, "--run", "r", "--lane", "sync", "--set",
                          "sync.concurrency=1", env=w.env(sim))
    seen = []

    def some():
        done = w.call("results", "--run", "r", "--data", data, "-o", "-")
        seen.append(len(done.out.splitlines()))
        return 0 < seen[-1] < 100

    lib.wait_for(lambda: sim.stats()["operations"]["chat"] > 3)
    sim.hold()
    lib.that("results can be read while the run goes on", lib.wait_for(some) and going.alive(),
             f"{seen[-1]} of 100")
    sim.go()
    lib.equal("which it does", going.wait().code, 0)


@row("retry-failed")
def check_retry_failed(w):
    faults = [{"on": "line", "nth": 2, "count": 2, "do": "error", "status": 400,
               "code": "invalid_value"}]
    sim, data = w.place.sim(faults=faults), w.fresh()
    line = ["run", w.jobs, "--data", data, "--run", "r", "-q", "-o", w.place.path("retried")]
    lib.equal("two of five fail", w.call(*line, env=w.env(sim)).code, 3)
    done = w.call("retry", "--failed", "--run", "r", "--data", data, "--json")
    lib.equal("they alone are queued again", json.loads(done.out)["retried"], 2)
    lines = sim.stats()["lines"]
    lib.equal("and the run ends well", w.call(*line, env=w.env(sim)).code, 0)
    lib.equal("two more calls were made", sim.stats()["lines"] - lines, 2)


@row("ctrl-c")
def check_ctrl_c(w):
    sim = w.held()
    on = Terminal(w, "run", w.jobs, "--data", w.fresh(), "--run", "r", env=w.env(sim))
    on.read(90, until=b"1 batch there")
    began = time.monotonic()
    os.write(on.fd, b"\x03")
    code = on.end()
    lib.that("Ctrl-C ends a run at once, and it says how to go on",
             code == 130 and time.monotonic() - began < 20  # stop.wait is 25 s
             and b"goes on and nothing is lost" in on.text
             and b"the same command continues" in on.text, repr(on.text[-120:]))
    sim = w.held()
    data = w.fresh()
    on = Terminal(w, "run", w.jobs, "--data", data, "--run", "r", "--lane", "sync",
                  env=w.env(sim))
    lib.wait_for(lambda: sim.stats()["operations"]["chat"] > 0)
    os.write(on.fd, b"\x03")
    lib.that("single calls under way are waited for",
             b"once more leaves at once" in on.read(90, until=b"leaves at once"))
    os.write(on.fd, b"\x03")
    lib.that("a second Ctrl-C leaves", on.end() == 130 and b"in doubt" in on.text,
             repr(on.text[-120:]))
    watch = Terminal(w, "watch", "--data", w.small["data"])
    watch.read(90, until=b"money")
    os.write(watch.fd, b"\x03")
    lib.equal("watch ends too", watch.end(), 130)
    watch = Terminal(w, "watch", "--data", w.small["data"])
    watch.read(90, until=b"money")
    os.write(watch.fd, b"q")
    lib.equal("and by q", watch.end(), 0)


@row("timeouts")
def check_timeouts(w):
    names = set(re.findall(r"^(\S+)", w.call("config", "show").out, re.M))
    lib.that("every wait for others has a setting",
             names >= {"http.give_up", "sync.timeout", "pool.timeout", "pool.stall",
                       "stop.wait", "batch.absent_after"})
    deaf = socket.socket()
    deaf.bind(("127.0.0.1", 0))
    deaf.listen(64)
    began = time.monotonic()
    done = w.call("run", w.write_jobs("one.jsonl", 1), "--data", w.fresh(), "--run", "r",
                  "--lane", "sync", "--set", "sync.timeout=500ms", "--set", "http.give_up=2s",
                  env=w.env(f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"), timeout=300)
    lib.that("a server that never answers is not waited for longer",
             done.code in (3, 5) and time.monotonic() - began < 120, f"{done!r}")


# ---- settings, secrets, the network ----


@row("config-order")
def check_config_order(w):
    home, project = w.place.path("home"), w.place.path("project")
    user = w.place.write("home/.config/offpeak/config.yaml", "batch:\n  poll: 1m\n")
    near = w.place.write("project/offpeak.yaml", "batch:\n  poll: 2m\n")
    env = {k: v for k, v in w.env().items() if k not in ("OFFPEAK_BATCH_POLL", "XDG_CONFIG_HOME")}
    env["HOME"] = str(home)

    def poll(*arguments, **more):
        out = subprocess.run([lib.options.offpeak, "config", "show", "--origin", *arguments],
                             env=dict(env, **more), cwd=project, capture_output=True, text=True,
                             check=False).stdout
        return next(line for line in out.splitlines() if line.startswith("batch.poll"))

    steps = [poll("--set", "batch.poll=4m", OFFPEAK_BATCH_POLL="3m"),
             poll(OFFPEAK_BATCH_POLL="3m"), poll()]
    near.unlink()
    steps.append(poll())
    user.unlink()
    steps.append(poll())
    lib.equal("option, environment, project, user, default: the first that is there",
              [re.search(r"= (\d+)", s).group(1) for s in steps], ["4", "3", "2", "1", "60"]
              if "60s" in steps[-1] else ["4", "3", "2", "1", "1"])
    for line, words in zip(steps, ("--set", "OFFPEAK_BATCH_POLL", "offpeak.yaml",
                                   "config.yaml", "default")):
        lib.that(f"it says that it is from {words}", words in line, line)


@row("secrets")
def check_secrets(w):
    key = "sk-acme-a1b2c3d4e5f6a7b8"
    options = set(re.findall(r"(--[a-z-]*key[a-z-]*)", " ".join(w.help.values())))
    lib.equal("no option takes a key, one names a file with it", options, {"--key-file"})
    sim, data = w.held(), w.fresh()
    env = w.env(sim, key=None)
    secret = w.place.write("key", key + "\n")
    secret.chmod(0o600)
    going = w.place.start("run", w.jobs, "--data", data, "--run", "r", "--key-file", secret,
                          env=env)
    lib.wait_for(lambda: "submitted" in going.stderr())
    other = w.fresh()
    second = w.place.start("run", w.jobs, "--data", other, "--run", "r",
                           env=w.env(sim, key=key))
    lib.wait_for(lambda: "submitted" in second.stderr())
    for name in ("cmdline", "environ"):
        for process in (going, second):
            text = pathlib.Path(f"/proc/{process.pid}/{name}").read_bytes()
            lib.that(f"the key is not in its {name}", key.encode() not in text)
    sim.go()
    ended = [going.wait(), second.wait()]
    lib.that("nor in what it prints", all(key not in e.out + e.err for e in ended))
    held = [p for d in (data, other) for p in d.rglob("*") if p.is_file()]
    lib.that("nor in what it stores", held and all(key.encode() not in p.read_bytes()
                                                   for p in held))
    secret.chmod(0o644)
    done = w.call("run", w.jobs, "--data", data, "--run", "r", "--key-file", secret, env=env)
    lib.that("a key that others can read is worth a warning", "warning" in done.err,
             lib.short(done.err))


def no_internet():
    """From here on a socket of the internet ends this process, whatever it is for."""
    libc = ctypes.CDLL(None, use_errno=True)

    def op(code, yes, no, k):
        return struct.pack("HBBI", code, yes, no, k)

    socket_call = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
    allow, refuse = 0x7fff0000, 0x80000000  # SECCOMP_RET_ALLOW, KILL_PROCESS
    code = b"".join([op(0x20, 0, 0, 0), op(0x15, 0, 4, socket_call),  # seccomp_data.nr
                     op(0x20, 0, 0, 16),                              # its first argument
                     op(0x15, 1, 0, socket.AF_INET), op(0x15, 0, 1, socket.AF_INET6),
                     op(0x06, 0, 0, refuse), op(0x06, 0, 0, allow)])
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def remotes_of(pid):
    """Where its TCP connections go."""
    inodes = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(fd)))
        except OSError:
            continue
    found = set()
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                found.add((name, int(fields[2].split(":")[1], 16)))
    return found


@row("no-phoning")
def check_no_phoning(w):
    probe = subprocess.run([sys.executable, "-c", "import socket; socket.socket()"],
                           preexec_fn=no_internet, capture_output=True, check=False)
    lib.equal("(a socket can be forbidden here)", probe.returncode, -signal.SIGSYS)
    for name in w.called:
        if name in ON_THE_NETWORK:
            continue
        done = w.call(*w.line(name, w.small), limits=no_internet)
        lib.equal(f"'{name}' needs no network", (done.code, "could not" in done.err), (0, False))
    sim = w.held()
    going = w.place.start("run", w.jobs, "--data", w.fresh(), "--run", "r", env=w.env(sim))
    seen, stop = set(), threading.Event()

    def look():
        while not stop.is_set() and going.alive():
            try:
                seen.update(remotes_of(going.pid))
            except OSError:
                return
            time.sleep(0.001)

    looker = threading.Thread(target=look)
    looker.start()
    lib.wait_for(lambda: "submitted" in going.stderr())
    sim.go()
    going.wait()
    stop.set()
    looker.join()
    lib.equal("a run talks to its provider and to nobody else", seen, {("tcp", sim.port)})


# ---- all of it ----

CLI_MD = (lib.ROOT / "docs" / "CLI.md").read_text()


def main():
    lib.start(__doc__)
    told = re.findall(r"^\| `([a-z-]+)` \|", CLI_MD.split("## By the rules")[-1], re.M)
    lib.equal("the table of docs/CLI.md has the rows that are checked here",
              sorted(told), sorted(CHECKS))
    with lib.Place() as place:
        world = World(place)
        lib.equal("every command is called here, but the daemons", sorted(COMMANDS), sorted(world.called))
        for name in told:
            if lib.options.only in ("", name):
                lib.part(name)
                CHECKS[name](world)
    lib.finish()


main()
