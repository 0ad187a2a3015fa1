#!/usr/bin/python3
"""A night on a real broker, beside a bare producer and consumer that move the same bytes.

    tests/bench/bench_kafka.py [--jobs 20000] [--rounds 5] [--workers 1,2,4] [--profile perf]

The first night fills the table of answers. The nights that are measured ask the same questions by
other names: every job passes `offpeak submit`, topic `jobs`, the scheduler, topic `ready`, a
worker, and topics `results` and `spend`, and no call is made, so that no time of a provider is in
it. One of them is watched: bytes of a record on each topic, jobs in a transaction, and what the
broker's files grow by. Then rounds alternate with bare_kafka: four processes (a transactional
producer; two that read committed records and write in transactions with their offsets; a reader)
that pass as many records of the same sizes through topics made by the same command under another
prefix, on the same broker; once in transactions as large as ours were, once in those that suit
them. Both end when the last result has been read by the same reader. The share is of the faster
of the two, and the goal is half of it.

Then the same night with more worker processes. At the end one worker that owns everything is started
again, with its folder and without, its table of answers being enlarged by rows like its own. CPU is
of the whole round; `load` is the load average at its end. --profile perf shows where it goes.
"""
import collections
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time

import measure
from measure import lib

sys.path.insert(0, str(lib.ROOT / "tests/kafka"))
import system  # noqa: E402
import tables  # noqa: E402

GOAL_SHARE = 0.5
TRANSACTION = 5000  # records that only pass through: more gains nothing
ON_THE_WAY = ("jobs.shop.shelf", "ready", "results.shop", "spend")
SHARED = ("answers", "batches", "acks", "ledger", "open", "marks", "runs.shop", "cancels")
NIGHT_SECONDS_MAX = 900
SETTLE_SECONDS = 2
SESSION_SECONDS = 10
RESTORE_SECONDS_MAX = 600
PARTITIONS = 12
PREFIX = "bare."


class Stage:
    """One bare_kafka: one stage of the way, or the reader at its end."""

    def __init__(self, s, name, transaction, source="-", outs=()):
        self.process = lib.spawn(
            [lib.options.bare, s.broker.address, name, s.jobs, transaction, source, *outs],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            sys.exit(f"bare_kafka {name} did not start")

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def told(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("bare_kafka ended early")
        return json.loads(line)

    def end(self):
        self.process.stdin.close()
        if self.process.wait(60):
            sys.exit("bare_kafka failed")


# ---- a night of ours ----


def submit(s, run):
    file = s.place.path(f"{run}.jsonl")
    with open(file, "w", encoding="utf-8") as out:
        for job in s.night:
            out.write(json.dumps({**job, "custom_id": f"{run}-{job['custom_id']}"}) + "\n")
    return [lib.options.offpeak, "submit", file, "--team", system.TEAM, "--feature",
            system.FEATURE, "--run", run]


def night(s, run):
    """Seconds from submit to the last result read, and CPU seconds of each process."""
    command = submit(s, run)
    reader = Stage(s, "reader", 1000, f"offpeak.results.{system.TEAM}")
    pids = {"broker": s.broker.pid(), **{d.name: d.process.pid for d in s.daemons if d.alive()}}
    before = {name: measure.cpu_of(pid) for name, pid in pids.items()}
    calls = s.sim.invoice()["requests"]
    begun = time.monotonic()
    process = lib.spawn(command, env=s.env(), stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL)
    watch = measure.Watch(process.pid)
    code = process.wait(NIGHT_SECONDS_MAX)
    submitted = time.monotonic() - begun
    read = reader.told()
    seconds = time.monotonic() - begun
    cpu = {name: measure.cpu_of(pid) - before[name] for name, pid in pids.items()}
    reader.end()
    cpu["submit"], cpu["reader"] = watch.done().cpu, read["cpu_s"]
    made = s.sim.invoice()["requests"] - calls
    if code or made != (s.jobs if run == "first" else 0) or s.lost():
        sys.exit(f"run '{run}': submit ended with {code}, {made} calls, lost: {s.lost()}")
    return seconds, submitted, cpu


# ---- what a night leaves on the broker ----


class Tail:
    """Records of a topic as they are committed, by kcat: sizes and commit numbers."""

    def __init__(self, s, topic):
        self.path = s.place.path(f"{topic}.tail")
        with open(self.path, "wb") as out:
            self.process = lib.spawn(
                ["kcat", "-b", s.broker.address, "-C", "-q", "-u", "-o", "end", "-t",
                 f"offpeak.{topic}", "-f", "\n@@%p %o %K %S %h"], stdout=out,
                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def done(self):
        """Records, bytes of keys, headers and values, and commits."""
        lib.end(self.process, signal.SIGTERM)
        found, commits = {}, set()
        for text in self.path.read_bytes().split(b"\n@@")[1:]:
            if text.count(b" ") < 4:  # cut off where kcat was ended
                continue
            partition, offset, key, value, heads = text.split(b" ", 4)
            found[partition, offset] = max(int(key), 0) + max(int(value), 0) + len(heads)
            match = re.search(rb"(?:^|,)c=(\d+)", heads)
            commits.add(match and match.group(1))
        return len(found), sum(found.values()), len(commits)


def files(s):
    """Bytes in the broker's logs, by topic."""
    found = collections.Counter()
    for log in s.broker.folder.rglob("*.log"):
        match = re.fullmatch(r"offpeak\.(.+)-\d+", log.parent.name)
        if match:
            found[match.group(1)] += log.stat().st_size
    return found


def watched(s):
    before = files(s)
    tails = {topic: Tail(s, topic) for topic in (*ON_THE_WAY, *SHARED)}
    time.sleep(SETTLE_SECONDS)
    night(s, "watched")
    time.sleep(SETTLE_SECONDS)
    after = files(s)
    rows, sizes = [("topic", "records/job", "bytes/record", "jobs/commit", "disk/job")], {}
    for topic, tail in tails.items():
        records, size, commits = tail.done()
        disk = (after[topic] - before[topic]) / s.jobs
        if records or disk:
            rows.append((topic, f"{records / s.jobs:.2f}", round(size / max(records, 1)),
                         round(s.jobs / max(commits, 1)), f"{disk:.0f}"))
        sizes[topic] = (round(disk), max(s.jobs // max(commits, 1), 1))
    others = {t: after[t] - before[t] for t in after if t not in tails and after[t] > before[t]}
    rows.append(("others", "", "", "", f"{sum(others.values()) / s.jobs:.0f}"))
    rows.append(("all", "", "", "", f"{sum((after - before).values()) / s.jobs:.0f}"))
    measure.table(rows)
    return sizes


# ---- the same bytes, bare ----


def bare(s, sizes):
    """Seconds from the first record to the last read, and CPU seconds."""
    topics = {topic: PREFIX + topic for topic in ON_THE_WAY}
    out = {topic: f"{name}:{sizes[topic][0]}" for topic, name in topics.items()}
    jobs, ready, results, spend = ON_THE_WAY
    stages = {"reader": Stage(s, "bare-reader", 1000, topics[results]),
              "worker": Stage(s, "bare-worker", sizes[results][1], topics[ready],
                              (out[results], out[spend])),
              "scheduler": Stage(s, "bare-scheduler", sizes[ready][1], topics[jobs], (out[ready],)),
              "submit": Stage(s, "bare-submit", sizes[jobs][1], "-", (out[jobs],))}
    broker = measure.cpu_of(s.broker.pid())
    begun = time.monotonic()
    stages["submit"].go()
    told = {"reader": stages["reader"].told()}
    seconds = time.monotonic() - begun
    cpu = {"broker": measure.cpu_of(s.broker.pid()) - broker}
    told |= {name: stage.told() for name, stage in stages.items() if name != "reader"}
    for stage in stages.values():
        stage.end()
    cpu |= {name: one["cpu_s"] for name, one in told.items()}
    return seconds, cpu


# ---- what is printed ----


def load():
    return f"{os.getloadavg()[0]:.1f}"


def us(s, cpu):
    """CPU of a round in microseconds a job; all workers together."""
    parts = collections.Counter()
    for name, seconds in cpu.items():
        parts[name.split("-")[0]] += seconds
    names = ("submit", "scheduler", "worker", "reader", "broker")
    return [f"{parts[name] / s.jobs * 1e6:.0f}" for name in names]


HEAD = ("who", "jobs/s", "submit us", "scheduler us", "worker us", "reader us", "broker us", "load")


def rounds(s, sizes):
    rows, shares, ours = [(*HEAD, "share")], [], []
    large = {topic: (size, TRANSACTION) for topic, (size, _) in sizes.items()}
    for number in range(lib.options.rounds):
        took = []
        for who, how in (("bare, our commits", sizes), (f"bare, {TRANSACTION} each", large)):
            seconds, cost = bare(s, how)
            took.append(seconds)
            rows.append((who, f"{s.jobs / seconds:.0f}", *us(s, cost), load(), ""))
        least = min(took)
        seconds, _, cost = night(s, f"round{number}")
        shares.append(least / seconds)
        ours.append(s.jobs / seconds)
        rows.append(("offpeak", f"{s.jobs / seconds:.0f}", *us(s, cost), load(),
                     f"{shares[-1]:.0%}"))
    measure.table(rows)
    print(f"median: {statistics.median(ours):.0f} jobs/s, share {statistics.median(shares):.0%},"
          f" best {max(shares):.0%}; goal {GOAL_SHARE:.0%}")


def workers(s):
    rows = [(*HEAD, "CPU of each")]
    for count in map(int, lib.options.workers.split(",")):
        while sum(d.role == "worker" for d in s.daemons) < count:
            start(s)
        time.sleep(5)
        for number in range(2):
            seconds, _, cost = night(s, f"w{count}-{number}")
            share = [f"{v / max(sum(c for n, c in cost.items() if n.startswith('worker')), 1e-9):.0%}"
                     for n, v in cost.items() if n.startswith("worker")]
            rows.append((f"{count} workers", f"{s.jobs / seconds:.0f}", *us(s, cost), load(),
                         " ".join(share)))
    measure.table(rows)


def start(s):
    daemon = s.daemon("worker")
    if not s.wait_for(lambda: "at work" in daemon.said(), 120, 0.02):
        sys.exit(f"{daemon.name} is not at work: {daemon.said()}")
    return daemon


def restored(s):
    return sum(size for topic, size in files(s).items() if topic in ("answers", "batches", "acks"))


def start_again(s, worker):
    """Seconds until it is at work, its CPU, and the most memory it had until then."""
    said, begun = worker.said().count("at work"), time.monotonic()
    watch = measure.Watch(worker.start().process.pid)
    if not s.wait_for(lambda: worker.said().count("at work") > said, RESTORE_SECONDS_MAX, 0.01):
        sys.exit(worker.said())
    return time.monotonic() - begun, measure.cpu_of(worker.process.pid), watch.anonymous


def restore(s):
    """One worker that owns all, ended and started again, until it is at work."""
    worker, *others = [d for d in s.daemons if d.role == "worker"]
    for other in others:
        other.end()
    worker.end()
    time.sleep(SESSION_SECONDS + 1)  # none of the others is waited for
    start_again(s, worker)
    rows = [("tables MB", "folder lost s", "MB/s", "CPU s", "memory MB", "folder kept s", "load")]
    for size in (0, *map(int, filter(None, lib.options.tables.split(",")))):
        tables.enlarge(s.broker.address, "offpeak.answers", PARTITIONS,
                          lambda: files(s)["answers"], size * 1e6)
        for _ in range(3):
            worker.end()
            worker.forget()
            took, cpu, memory = start_again(s, worker)
            worker.end()
            kept, _, _ = start_again(s, worker)
            rows.append((f"{restored(s) / 1e6:.0f}", f"{took:.2f}", f"{restored(s) / 1e6 / took:.0f}",
                         f"{cpu:.2f}", f"{memory / 1e6:.0f}", f"{kept:.2f}", load()))
    measure.table(rows)


def profile(s):
    data = s.place.path("perf.data")
    pids = ",".join(str(d.process.pid) for d in s.daemons if d.alive())
    perf = lib.spawn(["perf", "record", "-g", "-F", "499", "-o", data, "-p", pids],
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    night(s, "profiled")
    lib.end(perf, signal.SIGINT)
    for sort in ("pid,comm", "comm,dso", "comm,dso,symbol"):
        print(f"-- by {sort}")
        out = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "--sort", sort,
                              "--percent-limit", "1.5", "-g", "none"], check=False,
                             capture_output=True, text=True).stdout
        print("\n".join(line for line in out.splitlines() if line and line[0] != "#"))


def more(parser):
    parser.add_argument("--bare", default=measure.RELEASE.parent / "tests/bin/bare_kafka")
    parser.add_argument("--jobs", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", default="1,2,4", help="how many, one after the other")
    parser.add_argument("--tables", default="200,800", help="MB of answers that a worker restores")
    parser.add_argument("--profile", choices=["perf"])


def main():
    options = measure.start(__doc__, more)
    with system.System(measure=True, speed=2000) as s:
        s.settings["batch.max_requests"] = "5000"
        s.jobs, s.night = options.jobs, system.night(random.Random(options.seed), options.jobs, 0)
        done = s.place.offpeak("topics", "create", "--team", system.TEAM, "--feature",
                               system.FEATURE, env={**s.env(), "OFFPEAK_KAFKA_PREFIX": PREFIX})
        lib.equal("topics for the bare ones", done.code if not done.code else repr(done), 0)
        lib.end(s.place.processes[-1])  # what the tests watch `ready` with
        s.daemon("scheduler")
        start(s)
        took, _, _ = night(s, "first")
        print(f"{s.jobs} jobs of {len(lib.lines_of(s.night)) / s.jobs:.0f} bytes, all different;"
              f" the first night took {took:.1f} s (load {load()})")
        bought = {topic: size / s.jobs for topic, size in files(s).items() if size > s.jobs}
        print("on disk for each job that was bought: "
              + ", ".join(f"{topic} {size:.0f}" for topic, size in sorted(bought.items())))
        sizes = watched(s)
        rounds(s, sizes)
        if options.profile:
            profile(s)
        workers(s)
        restore(s)


main()
