#!/usr/bin/env python3
"""What the owners drop on a real broker, and what is known of it when it is gone.

    tests/kafka/test_retention.py [--jobs N]
"""
import json
import subprocess
import time

import system
import lib

KEEP = {"retain": "1s", "results.keep": "1s"}


def gone(s, name):
    return lib.that(f"records of {name} go", s.wait_for(lambda: s.count(name) == 0, 120), s.count(name))


def runs_of(s):
    """Rows of runs, and marks of theirs."""
    return sorted(s.rows(f"runs.{system.TEAM}", raw=True)) + \
        sorted(k for k in s.rows("marks", raw=True) if k != "spend")


def audit(s):
    done = s.command("audit", "-q")
    lib.equal("audit finds nothing", done.code if not done.code else done.out + done.err, 0)


def raw(s, topic, encoding):
    """Records that are bytes in part."""
    done = subprocess.run(["kcat", "-b", s.broker.address, "-C", "-q", "-e", "-J", "-o", "beginning", "-t",
                           f"offpeak.{topic}"], check=True, capture_output=True, timeout=60)
    return [json.loads(line) for line in done.stdout.decode(encoding, "replace").split("\n") if line]


def releases(s):
    return [r for r in raw(s, "ready", "utf-8") if "job" in r.get("headers", [])]


def answers(s):
    return [r for r in {r["key"]: r for r in raw(s, "answers", "latin-1")}.values() if r["payload"]]


def put_again(s, record):
    """A record of `ready`, byte for byte, where it stood before."""
    heads = [word for name, value in zip(record["headers"][::2], record["headers"][1::2])
             for word in ("-H", f"{name}={value}")]
    file = s.place.write("again", record["payload"])
    done = s.broker.kcat("-P", "-t", "offpeak.ready", "-p", record["partition"], *heads, file)
    lib.that("a record of ready is put again", done.returncode == 0, done.stderr)


def low(s, partition):
    lows = [r["payload"] for r in raw(s, "acks", "utf-8") if r["key"] == f"ready#{partition}"]
    return int(lows[-1]) if lows else 0


def night(s, jobs, daemons):
    """A run that ends, with a queue beside it that waits for its limit."""
    s.queue("idle", "shelf")
    s.broker.put("offpeak.jobs.idle.shelf", json.dumps(lib.job("waits", "for a limit")) + "\n")
    s.submit(jobs, "monday")
    if not s.finish(len(jobs)):
        return []
    lib.that("there is something to drop", s.count("jobs.shop.shelf") == len(jobs) and runs_of(s) and answers(s),
             runs_of(s))
    released = releases(s)
    time.sleep(1.2)
    s.settings.update(KEEP)
    for daemon in daemons:
        daemon.end()
    return released


def dropped(s, jobs, scheduler, worker):
    lib.part("jobs, releases and what is known of the run are dropped by their owners")
    scheduler.start()
    gone(s, "jobs.shop.shelf")
    lib.that("rows of the run go", s.wait_for(lambda: not runs_of(s), 60), runs_of(s))
    lib.equal("releases stay until their worker comes", len(releases(s)), len(jobs))
    audit(s)
    worker.start()
    gone(s, "ready")
    lib.that("answers that nobody may use any more go", s.wait_for(lambda: not answers(s), 60), len(answers(s)))
    lib.equal("a job that waits stays", s.count("jobs.idle.shelf"), 1)
    lib.equal("what was paid stays", s.count("spend"), len(jobs))
    audit(s)


def repeat(s, worker, record):
    lib.part("a release that was dropped comes again, to a worker without its folder")
    before = s.sim.invoice(), s.answered(), s.count("spend")
    worker.end()
    worker.forget()
    put_again(s, record)
    end = low(s, record["partition"])
    worker.start()
    lib.that("it is acknowledged", s.wait_for(lambda: low(s, record["partition"]) > end, 90), end)
    time.sleep(1)
    lib.that("and nothing else: no result, no spend record, nothing bought",
             (s.sim.invoice(), s.answered(), s.count("spend")) == before,
             f"{before[1:]}, then {s.answered()}, {s.count('spend')}")


def main():
    options = lib.start(__doc__, lambda parser: parser.add_argument("--jobs", type=int, default=40))
    jobs = [lib.job(f"job-{n}", f"Describe item {n}.") for n in range(options.jobs)]
    with system.System(cache_ttl="1s", budget_default="") as s:
        s.limit(1000)
        daemons = [s.daemon("scheduler"), s.daemon("worker")]
        released = night(s, jobs, daemons)
        if released:
            dropped(s, jobs, *daemons)
            repeat(s, daemons[1], released[0])
            audit(s)
    lib.finish()


main()
