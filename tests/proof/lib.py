"""What the proofs share: a scratch place, the programs, and plain sentences about them.

A proof drives the programs as a user does, from outside, and looks only at what they publish:
result files, `offpeak spend`, `offpeak cat`, and the invoice that the simulator computed by
itself. Every proof starts like this:

    lib.start(__doc__)                  # --offpeak, --sim, --keep, --only, ...
    with lib.Place() as place:
        sim = place.sim()
        night = place.run(sim, jobs, "--run", "one")
        lib.equal("exit code", night.code, 0)
    lib.finish()                        # exits 1 when any sentence did not hold

Everything started here ends with the proof, even when the proof is killed.
"""
import argparse
import atexit
import collections
import ctypes
import decimal
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KEY = "sk-proof-0001"
# A provider on this machine is asked more often than one in the world.
FAST = {"batch.poll": "50ms", "batch.linger": "50ms", "batch.absent_after": "1s"}
CASES_MIN = 6
PICO = decimal.Decimal(10) ** 12
decimal.getcontext().prec = 60

options = None
_failed = []
_cases = []
_said = 0
_libc = ctypes.CDLL(None, use_errno=True)


# ---- the command line of a proof ----


def start(about, more=None):
    """Reads the command line; `more(parser)` adds a proof's own options."""
    global options
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offpeak", default=ROOT / "build-dev/bin/offpeak", type=pathlib.Path)
    parser.add_argument("--sim", default=ROOT / "build-dev/bin/offpeak-sim", type=pathlib.Path)
    parser.add_argument("--keep", action="store_true", help="leave the scratch folder")
    parser.add_argument("--only", default="", help="run the parts whose name contains this")
    parser.add_argument("--seed", type=int, default=1)
    if more:
        more(parser)
    options = parser.parse_args()
    options.offpeak, options.sim = options.offpeak.resolve(), options.sim.resolve()
    sys.stdout.reconfigure(line_buffering=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return options


def wanted(name):
    return options.only in name


def part(title):
    print(f"\n-- {title}")


# ---- sentences ----


def that(sentence, holds, detail=""):
    """One sentence that must hold; prints it with what was seen."""
    global _said
    _said += 1
    detail = f": {detail}" if str(detail) else ""
    print(f"{'ok  ' if holds else 'FAIL'} {sentence}{detail}")
    if not holds:
        _failed.append(f"{sentence}{detail}")
    return bool(holds)


def equal(sentence, got, wants):
    return that(sentence, got == wants,
                short(got) if got == wants else f"{short(got)}, wanted {short(wants)}")


def short(value):
    text = value if isinstance(value, str) else repr(value)
    if isinstance(value, decimal.Decimal):
        text = f"{value:f}"
    text = " / ".join(text.splitlines())
    return text if len(text) <= 300 else text[:300] + " ..."


def cases(kind, count):
    """How many of one kind of bad input were tried; fewer than six are too few."""
    _cases.append((kind, count))
    if not options.only:
        that(f"at least {CASES_MIN} cases of '{kind}'", count >= CASES_MIN, count)


def finish():
    for kind, count in _cases:
        print(f"{kind}: {count} cases")
    print(f"\n{_said - len(_failed)} of {_said} sentences hold")
    for sentence in _failed:
        print("  FAIL " + sentence)
    sys.exit(1 if _failed or not _said else 0)


def can_mount():
    """Whether small file systems can be mounted here: root, and allowed to."""
    folder = tempfile.mkdtemp(prefix="offpeak-proof-")
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
                              capture_output=True, check=False)
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return done.returncode == 0
    except FileNotFoundError:
        return False
    finally:
        os.rmdir(folder)


# ---- processes ----


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def spawn(command, **kwargs):
    return subprocess.Popen([str(c) for c in command], preexec_fn=_die_with_parent, **kwargs)


def end(process, how=signal.SIGKILL):
    if process.poll() is None:
        process.send_signal(how)
        process.wait(90)


class Ended:
    """What a command did: exit code, output, time."""

    def __init__(self, command, code, out, err, seconds):
        self.command, self.code, self.out, self.err = command, code, out, err
        self.seconds = seconds

    def __repr__(self):
        return f"exit {self.code} of {' '.join(map(str, self.command))}\n{self.err}"


class Running:
    """A command under way, its output in files; wait() gives what it did."""

    def __init__(self, place, command, env, stdin=None, limits=None):
        self.command, self.started = command, time.monotonic()
        self.stem = place.path(f"command-{place.count()}")
        self.out, self.err = open(f"{self.stem}.out", "wb"), open(f"{self.stem}.err", "wb")
        source = stdin if stdin is not None else subprocess.DEVNULL

        def prepare():
            _die_with_parent()
            if limits:
                limits()

        self.process = subprocess.Popen([str(c) for c in command], env=env, stdin=source,
                                        stdout=self.out, stderr=self.err, preexec_fn=prepare)
        place.processes.append(self.process)
        self.pid = self.process.pid

    def stderr(self):
        return pathlib.Path(f"{self.stem}.err").read_text(encoding="utf-8", errors="replace")

    def stdout(self):
        return pathlib.Path(f"{self.stem}.out").read_text(encoding="utf-8", errors="replace")

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=600, dies=False):
        """`dies`: a signal is how it is meant to end."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            end(self.process, signal.SIGABRT)
            code = "no end within %d s" % timeout
        self.out.close()
        self.err.close()
        ended = Ended(self.command, code, self.stdout(), self.stderr(),
                      time.monotonic() - self.started)
        broken = re.search(r"AddressSanitizer|LeakSanitizer|runtime error:.*", ended.err)
        if broken or (
                isinstance(code, int) and code < 0 and code != -signal.SIGKILL and not dies):
            that("the program does not break", False, f"{ended!r}")
        return ended


def wait_for(what, seconds=90, every=0.02):
    """Polls until what() is true; False, and a line that says so, when it never was."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = what()
        if value:
            return value
        time.sleep(every)
    where = sys._getframe(1)  # pylint: disable=protected-access
    print(f"     waited {seconds} s in vain: {where.f_code.co_filename}:{where.f_lineno}")
    return False


# ---- the provider ----


class Sim:
    """One offpeak-sim, on a free port unless one is given. With `hold` no batch ends and no plain
    question is answered before go()."""

    def __init__(self, place, faults=None, speed=2000, port=0, hold=False, arguments=()):
        number = place.count()
        port_file = place.path(f"sim-{number}.port")
        command = [options.sim, "--listen", f"127.0.0.1:{port}", "--port-file", port_file,
                   "--speed", speed, *arguments]
        if hold:  # and a day, after which batches expire, is long
            command += ["--hold", "--speed", 200]
        if faults:
            script = place.write(f"sim-{number}.faults",
                                 "".join(json.dumps(f) + "\n" for f in faults))
            command += ["--faults", script]
        self.log = open(place.path(f"sim-{number}.log"), "wb")
        self.process = spawn(command, stdout=self.log, stderr=self.log,
                             env={**os.environ, "TMPDIR": str(place.folder)})
        place.processes.append(self.process)
        if not wait_for(lambda: port_file.exists() or self.process.poll() is not None) \
                or self.process.poll() is not None:
            sys.exit("could not start the simulator: " + pathlib.Path(self.log.name).read_text())
        self.port = int(port_file.read_text())
        self.address = f"http://127.0.0.1:{self.port}"
        self.url = self.address + "/v1"

    def ask(self, path, data=None):
        with urllib.request.urlopen(self.address + path, data, timeout=90) as reply:
            return json.load(reply)

    def go(self):
        self.ask("/sim/go", b"")

    def hold(self):
        """What comes from now on is held."""
        self.ask("/sim/hold", b"")

    def invoice(self):
        return self.ask("/sim/invoice")

    def billed(self):
        """What it would charge, in USD, exactly."""
        return decimal.Decimal(self.invoice()["total_pico"]) / PICO

    def stats(self):
        return self.ask("/sim/stats")

    def stop(self):
        end(self.process, signal.SIGTERM)


# ---- the scratch place ----


class Place:
    """A scratch folder with the processes that were started in it."""

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="offpeak-proof-"))
        self.processes, self.mounts, self._count = [], [], 0
        atexit.register(self._leave)
        return self

    def __exit__(self, *_):
        self._leave()
        atexit.unregister(self._leave)

    def _leave(self):
        for process in self.processes:
            end(process)
        for mount in reversed(self.mounts):
            subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
        self.mounts.clear()
        if options.keep:
            print(f"kept {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def count(self):
        self._count += 1
        return self._count

    def path(self, name):
        return self.folder / name

    def write(self, name, text):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return path

    def sim(self, **kwargs):
        return Sim(self, **kwargs)

    def tmpfs(self, name, size):
        """A small file system of its own; needs root."""
        path = self.path(name)
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
        self.mounts.append(path)
        return path

    # ---- offpeak ----

    def environment(self, sim=None, key=KEY, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI", "OFFPEAK"))}
        env.update(HOME=str(self.folder), XDG_STATE_HOME=str(self.path("state")),
                   NO_COLOR="1", USER="proof", LOGNAME="proof",
                   ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "abort_on_error=0"))
        if sim:
            env["OPENAI_BASE_URL"] = sim if isinstance(sim, str) else sim.url
        if key is not None:
            env["OPENAI_API_KEY"] = key
        env.update({k: str(v) for k, v in more.items()})
        return env

    def start(self, *arguments, env=None, **kwargs):
        program = self.for_anybody() if kwargs.get("limits") else options.offpeak
        return Running(self, [program, *arguments], env or self.environment(), **kwargs)

    def for_anybody(self):
        """The program where a user without rights can reach it: the tree may lie in root's home."""
        copy = self.path("offpeak")
        if not copy.exists():
            shutil.copy(options.offpeak, copy)
            copy.chmod(0o755)
        return copy

    def offpeak(self, *arguments, env=None, timeout=600, **kwargs):
        return self.start(*arguments, env=env, **kwargs).wait(timeout)

    def begin(self, sim, jobs, *arguments, data="data", key=KEY, settings=None, env=None,
              **kwargs):
        """`offpeak run` under way, with the settings of a provider on this machine."""
        command = ["run", jobs] if jobs is not None else ["run"]
        command += ["--data", self.path(data), *arguments]
        for name, value in {**FAST, **(settings or {})}.items():
            command += ["--set", f"{name}={value}"]
        return self.start(*command, env=env or self.environment(sim, key), **kwargs)

    def run(self, sim, jobs, *arguments, timeout=600, **kwargs):
        return self.begin(sim, jobs, *arguments, **kwargs).wait(timeout)

    def cat(self, name, data="data"):
        """Every record of a topic, or row of a table."""
        ended = self.offpeak("cat", name, "--data", self.path(data))
        if ended.code == 2 and "no such topic or table" in ended.err:
            return []
        if ended.code != 0:
            raise RuntimeError(f"could not cat {name}: {ended!r}")
        return [loads(line) for line in ended.out.splitlines()]

    def spend(self, *arguments, data="data"):
        ended = self.offpeak("spend", "--data", self.path(data), "--json", *arguments)
        if ended.code != 0:
            raise RuntimeError(f"could not read spend: {ended!r}")
        return loads(ended.out)

    def spend_records(self, data="data"):
        ended = self.offpeak("spend", "--data", self.path(data), "--records")
        if ended.code != 0:
            raise RuntimeError(f"could not read spend records: {ended!r}")
        return [loads(line) for line in ended.out.splitlines()]

    def audit(self, said, sim=None, data="data", early=False):
        """`offpeak audit` finds nothing, the simulator's invoice included. `early`: it may have been
        killed before it had a store."""
        arguments = []
        if sim:
            with urllib.request.urlopen(sim.address + "/sim/invoice.csv", timeout=30) as reply:
                arguments = ["--invoice", self.write(f"bill-{self.count()}.csv", reply.read())]
        ended = self.offpeak("audit", "-q", "--data", self.path(data), *arguments)
        nothing = early and ended.code == 2 and "nothing has run in it yet" in ended.err
        that(f"{said}: audit finds nothing", ended.code == 0 or nothing,
             "" if ended.code == 0 else ended.out + ended.err)


# ---- JSON, with exact numbers ----


def loads(text):
    return json.loads(text, parse_float=decimal.Decimal)


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [loads(line) for line in file]


def value_of(record):
    """The value of a record as `offpeak cat` shows it, parsed."""
    value = record["value"]
    return loads(value) if isinstance(value, str) else value


# ---- jobs and results ----


def job(custom_id, text, model="gpt-4o-mini", system=None, **more):
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text})
    body = {"model": model, "messages": messages, "max_completion_tokens": 128, **more}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions",
            "body": body}


def lines_of(jobs):
    return "".join(json.dumps(j, ensure_ascii=False) + "\n" for j in jobs)


def digest_of(one):
    """What the simulator writes into the answer to this job."""
    text = json.dumps(one["body"]["messages"], sort_keys=True, separators=(",", ":"),
                      ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_in(result):
    """The digest of the question that an answer says it answers."""
    response = result.get("response") or {}
    choices = (response.get("body") or {}).get("choices") or [{}]
    content = (choices[0].get("message") or {}).get("content") or ""
    found = re.search(r"sha256\W+([0-9a-f]{64})", content)
    return found.group(1) if found else None


def counts(items):
    return dict(sorted(collections.Counter(items).items(), key=str))
