"""The whole system on a real broker: a provider, schedulers and workers, and a team's own client.

    with system.System(flow_calls=100) as s:
        s.daemon("scheduler"); worker = s.daemon("worker")
        s.send(jobs)                          # as any Kafka client would
        s.finish(len(jobs))                   # until so many results are there
        check.night(s, jobs)

Jobs go in by kcat, and results, spend records and tables are read by kcat, committed records
only: no program of ours stands between the broker and what is checked. A daemon keeps its state
in a folder of its own; it can be killed, stopped and continued (SIGSTOP, SIGCONT), started again
on its folder, or have it taken away. All ends with the test.
"""
import collections
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import broker  # noqa: E402
import budget_replay  # noqa: E402
import lib  # noqa: E402
import questions  # noqa: E402

TEAM, FEATURE = "shop", "shelf"
SETTINGS = {**lib.FAST, "batch.max_requests": "20", "stop.wait": "3s", "budget.default": "1000/total"}
SOON_SECONDS = 180  # on a busy machine


class Daemon:
    """One `offpeak scheduler` or `offpeak worker`, through all its lives."""

    def __init__(self, system, role, name, env):
        self.system, self.role, self.name = system, role, name
        self.folder, self.log = system.place.path(name), system.place.path(f"{name}.log")
        self.start(**env)

    def start(self, **env):
        command = [lib.options.offpeak, self.role, "--state", self.folder, "--set",
                   f"kafka.instance={self.name}"]
        for key, value in self.system.settings.items():
            command += ["--set", f"{key}={value}"]
        with open(self.log, "ab") as log:
            self.process = lib.spawn(command, env=self.system.env(**env), stdout=log, stderr=log)
        self.system.place.processes.append(self.process)
        self.wanted = True
        return self

    def kill(self):
        """As a machine that is switched off."""
        self.wanted = False
        lib.end(self.process)

    def end(self):
        self.wanted = False
        lib.end(self.process, signal.SIGTERM)
        return self.process.returncode

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def is_stopped(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        return status.rsplit(")", 1)[1].split()[0] == "T"

    def alive(self):
        return self.process.poll() is None

    def forget(self):
        shutil.rmtree(self.folder)

    def said(self):
        return self.log.read_text(encoding="utf-8", errors="replace")


class System:
    def __init__(self, faults=None, hold=False, speed=200, arguments=(), measure=False, **settings):
        self.sim_options = {"faults": faults, "hold": hold, "speed": speed, "arguments": arguments}
        self.settings = {**SETTINGS, **{k.replace("_", "."): v for k, v in settings.items()}}
        self.daemons, self.edits, self.measure = [], 0, measure

    def __enter__(self):
        self.place = lib.Place()
        self.place.__enter__()
        self.broker = broker.Broker(measure=self.measure, keep=lib.options.keep)
        try:
            self.broker.__enter__()
            self.sim = self.place.sim(**self.sim_options)
            self.queue(TEAM, FEATURE)
            self.releases = Releases(self)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, error, trace):
        for daemon in self.daemons:
            lib.end(daemon.process)
        broken = [d.name for d in self.daemons if "Sanitizer" in d.said() or "runtime error" in d.said()]
        lib.equal("programs that broke", broken, [])
        if kind or broken or lib.options.keep:
            for daemon in self.daemons:
                print(f"--- {daemon.name}\n" + "\n".join(daemon.said().splitlines()[-40:]))
        self.broker.__exit__(kind, error, trace)
        self.place.__exit__()

    def env(self, **more):
        return self.place.environment(self.sim, OFFPEAK_BROKERS=self.broker.address,
                                      OFFPEAK_CONFIG="/dev/null", **more)

    def queue(self, team, feature):
        done = self.place.offpeak("topics", "create", "--team", team, "--feature", feature,
                                  env=self.env())
        if done.code:
            raise broker.Failed(repr(done))

    def daemon(self, role, name=None, **env):
        name = name or f"{role}-{sum(d.role == role for d in self.daemons) + 1}"
        self.daemons.append(Daemon(self, role, name, env))
        return self.daemons[-1]

    # ---- a team's own client ----

    def send(self, jobs, team=TEAM, feature=FEATURE):
        """Each job once, in order, however long the broker is away meanwhile."""
        file = self.place.write(f"jobs-{self.place.count()}", lib.lines_of(jobs))
        with open(file, encoding="utf-8") as source:
            subprocess.run(["kcat", "-b", self.broker.address, "-P", "-t",
                            f"offpeak.jobs.{team}.{feature}", "-X", "enable.idempotence=true",
                            "-X", "linger.ms=5", "-X", "max.in.flight=1", "-E"], stdin=source, check=True, timeout=300,
                           capture_output=True)

    def command(self, *words, timeout=300):
        return self.place.offpeak(*words, env=self.env(), timeout=timeout)

    def submit(self, jobs, run, team=TEAM, feature=FEATURE):
        file = self.place.write(f"{run}.jsonl", lib.lines_of(jobs))
        done = self.command("submit", file, "--team", team, "--feature", feature, "--run", run)
        lib.equal(f"submit of {len(jobs)} jobs as run '{run}'", done.code if not done.code else repr(done), 0)

    def records(self, name):
        """All committed records of a topic, in order, as kcat gives them."""
        for _ in range(20):
            done = self.broker.kcat("-C", "-q", "-e", "-J", "-o", "beginning",
                                    "-t", f"offpeak.{name}")
            if done.returncode == 0:
                return [json.loads(line) for line in done.stdout.splitlines()]
            time.sleep(0.5)
        raise broker.Failed(f"could not read '{name}': {done.stderr}")

    def values(self, name):
        return [lib.loads(r["payload"]) for r in self.records(name)]

    def results(self, team=TEAM):
        return self.values(f"results.{team}")

    def spend(self):
        return self.values("spend")

    def rows(self, table, raw=False):
        """The rows that a table has now, by key."""
        rows = {r["key"]: r["payload"] for r in self.records(table)}
        return {k: v if raw else lib.loads(v) for k, v in rows.items() if v}

    def limit(self, usd, scope=TEAM):
        """As `offpeak budget set` would."""
        self.edits += 1
        row = {"scope": scope, "edit": self.edits, "total": float(usd), "paused": False, "who": "test",
               "why": "", "time_ms": int(time.time() * 1000)}
        done = self.broker.kcat("-P", "-t", "offpeak.budgets", "-K", "\t", "-H",
                                f"c={int(time.time() * 1e6)}", "-H", "w=test",
                                text=f"{scope}#{self.edits:020}\t{json.dumps(row)}\n")
        if done.returncode:
            raise broker.Failed(done.stderr)

    def count(self, name):
        """How many committed records; None while the broker does not answer."""
        done = self.broker.kcat("-C", "-q", "-e", "-o", "beginning", "-f", ".", "-t",
                                f"offpeak.{name}")
        return len(done.stdout) if done.returncode == 0 else None

    # ---- waiting ----

    def wait_for(self, what, seconds=SOON_SECONDS, every=0.2):
        """Also ends when a daemon does that nobody ended."""
        return lib.wait_for(lambda: what() or self.lost(), seconds, every) and not self.lost()

    def still(self, what, seconds):
        """What it is, once it has not changed for a while; 0 until then."""
        before = what()
        time.sleep(seconds)
        return before if before == what() else 0

    def lost(self):
        return [d.name for d in self.daemons if d.wanted and not d.alive()]

    def answered(self, team=TEAM):
        return self.count(f"results.{team}") or 0

    def provider(self, *states):
        """How many batches the provider has in one of these states."""
        batches = self.sim.ask("/sim/batches")["data"]
        return sum(b["batch"]["status"] in states for b in batches)

    def finish(self, count, seconds=SOON_SECONDS, team=TEAM):
        """Until there are so many results, and a while in which there are no more. `seconds` may pass
        without any."""
        began, got = time.monotonic(), -1
        while got < count and self.wait_for(lambda seen=got: self.answered(team) > seen, seconds, 0.3):
            got = self.answered(team)
        took, there = time.monotonic() - began, got >= count
        time.sleep(1)
        got = self.count(f"results.{team}")
        lib.that(f"there is an end with {count} results", there and got == count,
                 f"{got} after {took:.1f} s")
        lib.equal("daemons that ended by themselves", self.lost(), [])
        if not there:
            for daemon in self.daemons:
                print(f"--- {daemon.name}, {'alive' if daemon.alive() else 'gone'}\n"
                      + "\n".join(daemon.said().splitlines()[-25:]))
        return there


# ---- jobs ----


def night(rng, count, repeat_share=0.3, name="job"):
    """Jobs of which that share asks what an earlier one asked."""
    jobs, prompts = [], [f"You write for shop {n}. " * 40 for n in range(6)]
    for n in range(count):
        if jobs and rng.random() < repeat_share:
            jobs.append({**rng.choice(jobs), "custom_id": f"{name}-{n}"})
        else:
            jobs.append(lib.job(f"{name}-{n}", f"Describe item {rng.randrange(10**9)} of {name}.",
                                system=rng.choice(prompts)))
    return jobs


def distinct(jobs):
    return len({questions.canonical(json.dumps(j["body"])) for j in jobs})


def named(jobs, suffix):
    """The same questions by other names: the next night."""
    return [{**j, "custom_id": j["custom_id"] + suffix} for j in jobs]


# ---- what must hold of every night ----


def check(system, jobs, calls=None, team=TEAM):
    """All jobs that were ever sent: results once each, money to the pico-dollar."""
    calls = distinct(jobs) if calls is None else calls
    results, spend, invoice = system.results(team), system.spend(), system.sim.invoice()
    ids = collections.Counter(r["custom_id"] for r in results)
    lib.that("results = jobs, one for each", ids == collections.Counter(j["custom_id"] for j in jobs),
             f"{len(results)} results of {len(ids)} jobs, {len(jobs)} sent"
             + "".join(f", {k} {n} times" for k, n in ids.most_common(2) if n > 1))
    lib.equal("how jobs ended", lib.counts(r["offpeak"]["status"] for r in results), {"ok": len(jobs)})
    lib.equal("dead letters", len(system.records(f"dead.{team}")), 0)
    wants = {j["custom_id"]: lib.digest_of(j) for j in jobs}
    lib.equal("answers to another question", [r["custom_id"] for r in results
                                              if lib.digest_in(r) != wants.get(r["custom_id"])][:5], [])
    lib.equal("calls = different questions", invoice["requests"], calls)
    lib.equal("requests billed twice", invoice["requests_billed_twice"], 0)
    lib.equal("spend records, one for each job", (len(spend), len({s["event_id"] for s in spend})),
              (len(jobs), len(jobs)))
    paid = sum(s["cost"] for s in spend) * lib.PICO
    lib.that("invoice = spend, to the pico-dollar", paid == invoice["total_pico"] > 0,
             f"{invoice['total_pico']} and {paid:f}")
    check_releases(system, jobs)


def check_releases(system, jobs):
    """By job id and attempt: what a scheduler let through twice would be found here, even where
    a worker then sees that it is a repeat."""
    lib.wait_for(lambda: len(system.releases.read()) >= len(jobs), 60)
    released = collections.Counter((r["headers"]["job"], r["headers"].get("try", "0"))
                                   for r in system.releases.read())
    lib.equal("jobs let through", len(released), len(jobs))
    lib.equal("jobs let through twice", [k for k, n in released.items() if n > 1][:5], [])


def check_budget(system):
    """In the order of commits: no release went past a limit, the tables are what the records say."""
    releases = sorted(system.releases.read(), key=lambda r: r["commit"])
    records = {"ready": [{**r, "offset": n} for n, r in enumerate(releases)],
               "budgets": [{"commit": int(r["headers"]["c"]), "value": r["payload"]}
                           for r in with_headers(system.records("budgets"))],
               "spend": [{"commit": int(r["headers"]["c"]), "offset": r["offset"],
                          "headers": r["headers"]} for r in with_headers(system.records("spend"))]}
    for table in ("ledger", "open", "marks"):
        records[table] = [{"key": k, "value": v} for k, v in system.rows(table, raw=True).items()]
    replay = budget_replay.Replay(records)
    replay.report()
    lib.equal("what the records prove about limits", replay.problems[:5], [])
    lib.that("limits were compared with", replay.checked > 0, replay.checked)


def with_headers(records):
    for record in records:
        pairs = record.get("headers") or []
        yield {**record, "headers": dict(zip(pairs[::2], pairs[1::2]))}


class Releases:
    """Topic `ready` as it was written: its owners trim it, so it is read from the first moment."""

    FORMAT = "\n@@%p %o %h@@"
    NAMES = ("job", "try", "run", "pico", "day", "verdict", "c")

    def __init__(self, system):
        self.path = system.place.path("ready.tail")
        with open(self.path, "wb") as out:
            process = lib.spawn(["kcat", "-b", system.broker.address, "-C", "-q", "-u", "-E", "-o",
                                 "beginning", "-X", "topic.auto.offset.reset=earliest", "-t",
                                 "offpeak.ready", "-f", self.FORMAT], stdout=out,
                                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        system.place.processes.append(process)

    def read(self):
        """Each record once, flush marks left out."""
        found = {}
        for text in self.path.read_bytes().split(b"\n@@")[1:]:
            if not text.endswith(b"@@"):
                continue  # the rest of it is on its way
            partition, offset, heads = text.removesuffix(b"@@").split(b" ", 2)
            values = {}
            for name in self.NAMES:
                match = re.search(rb"(?:^|,)" + name.encode() + rb"=([^,]*)", heads)
                if match:
                    values[name] = match.group(1).decode()
            seen = re.search(rb"(?:^|,)seen=(\d+,\d+)", heads)
            if seen:
                values["seen"] = seen.group(1).decode()
            if values.get("job") and "c" in values:
                found[int(partition), int(offset)] = {"commit": int(values["c"]), "headers": values}
        return list(found.values())


class Feeder(threading.Thread):
    """Sends jobs beside the test, whatever the broker does."""

    def __init__(self, system, jobs):
        super().__init__(daemon=True)
        self.system, self.jobs, self.failed = system, jobs, ""
        self.start()

    def run(self):
        try:
            self.system.send(self.jobs)
        except subprocess.SubprocessError as error:
            self.failed = repr(error)
