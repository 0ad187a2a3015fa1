#!/usr/bin/python3
"""What offpeak itself takes for a batch: time, CPU and memory beside the provider's delay.

    tests/bench/bench_overhead.py [--lines 20000] [--rounds 3] [--profile]

Own time is the whole run less the time in which a batch was being worked on at the provider
(from its create to the end the provider states, batches side by side counted once). The
goals: below 1 s and below 60 MB for 20,000 lines. --profile runs it once more under perf and
prints where the time goes. (Not under Valgrind: it has not the address space that LMDB maps.)
"""
import os
import shutil
import subprocess
import sys

import measure
from measure import lib

GOAL_S, GOAL_BYTES = 1.0, 60 * 1000 * 1000
SPEED = 200  # a batch of 20,000 lines takes the simulator 0.6 s and more


def jobs_file(place, lines):
    guide = "You write one short, factual sentence about an item of a shop. " * 12
    path = place.path("jobs.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        for n in range(lines):
            file.write(lib.json.dumps(lib.job(f"row-{n:06d}", f"Item {n}, colour oat, 30 cm",
                                              system=guide)) + "\n")
    return path


def provider_seconds(sim):
    """Real seconds in which at least one batch was at work, and how many there were."""
    spans, total, end = [], 0.0, 0.0
    for batch in (row["batch"] for row in sim.ask("/sim/batches")["data"]):
        done = batch.get("completed_at") or batch.get("expired_at") or batch["created_at"]
        spans.append((batch["created_at"] / SPEED, done / SPEED))
    for begin, until in sorted(spans):
        total += max(0.0, until - max(begin, end))
        end = max(end, until)
    return total, len(spans)


def one_round(lines, settings):
    with lib.Place() as place:
        sim = place.sim(speed=SPEED)
        jobs = jobs_file(place, lines)
        run = place.begin(sim, jobs, "--run", "bench", "-o", place.path("out"), "-q",
                          settings=settings)
        watch = measure.Watch(run.pid, every=0.005)
        ended = run.wait(600)
        watch.done()
        if not lib.equal("exit code", ended.code, 0):
            print(ended.err[-2000:])
        lib.equal("results", sum(1 for _ in open(place.path("out"), "rb")), lines)
        delay, batches = provider_seconds(sim)
        return {"wall": ended.seconds, "delay": delay, "batches": batches, "cpu": watch.cpu,
                "peak": watch.anonymous, "file": watch.peak["RssFile"]}


# ---- where the time goes ----


def profiled(lines, settings):
    """The command under perf; prints the functions that take most."""
    if not shutil.which("perf"):
        sys.exit("could not profile: perf is not installed")
    with lib.Place() as place:
        sim = place.sim(speed=SPEED)
        data = place.path("profile.data")
        command = ["perf", "record", "-q", "-F", "2999", "-g", "-o", data, "--",
                   lib.options.offpeak, "run", jobs_file(place, lines), "--run", "b",
                   "-o", place.path("out"), "-q", "--data", place.path("data")]
        for name, value in {**lib.FAST, **settings}.items():
            command += ["--set", f"{name}={value}"]
        done = subprocess.run([str(c) for c in command], env=place.environment(sim),
                              check=False, capture_output=True, text=True)
        print(f"\n{lines} lines under perf: exit {done.returncode}")
        report = ["perf", "report", "--stdio", "--no-children", "-g", "none", "-q",
                  "--percent-limit", "1", "-i", data]
        text = subprocess.run([str(c) for c in report], check=False, capture_output=True,
                              text=True).stdout
        print("\n".join([ln[:110] for ln in text.splitlines() if ln.strip()][:40]))


def more(parser):
    parser.add_argument("--lines", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")


def main():
    options = measure.start(__doc__, more)
    settings = {"batch.poll": "10ms", "batch.linger": "10ms",
                **dict(s.split("=", 1) for s in options.set)}
    rounds = [one_round(options.lines, settings) for _ in range(options.rounds)]
    print(f"\n{options.lines} lines, {os.cpu_count()} CPUs\n")
    rows = [("round", "total s", "provider s", "own s", "CPU s", "peak anonymous MB",
             "peak RssFile MB", "batches")]
    for number, r in enumerate(rounds, 1):
        rows.append((number, f"{r['wall']:.2f}", f"{r['delay']:.2f}",
                     f"{r['wall'] - r['delay']:.2f}", f"{r['cpu']:.2f}",
                     f"{r['peak'] / 1e6:.1f}", f"{r['file'] / 1e6:.1f}", r["batches"]))
    measure.table(rows)
    own = sorted(r["wall"] - r["delay"] for r in rounds)[len(rounds) // 2]
    peak = max(r["peak"] for r in rounds)
    print(f"\n" f"own time (median) {own:.2f} s, goal below {GOAL_S:.1f} s: "
          f"{'met' if own < GOAL_S else 'not met'}")
    print(f"peak anonymous memory {peak / 1e6:.1f} MB, goal below {GOAL_BYTES / 1e6:.0f} MB: "
          f"{'met' if peak < GOAL_BYTES else 'not met'}")
    if options.profile:
        profiled(options.lines, settings)
    lib.finish()


main()
