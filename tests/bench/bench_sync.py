#!/usr/bin/python3
"""Calls made one by one, beside a bare HTTP client that makes the same ones.

    tests/bench/bench_sync.py [--jobs 20000] [--concurrency 200] [--latency 20] [--rounds 3]

The simulator answers each call after --latency ms. A round is a run of offpeak from an empty
folder to the last result on file, with every result and cost record stored, and the bare
client (bare_http: libcurl, kept connections, replies thrown away) on the same requests at a
simulator of the same kind. The goal: 8,000 jobs a second, and 80 % of the bare client. CPU is
that of the client and of offpeak alone. --profile perf shows where offpeak's goes.
"""
import json
import shutil
import subprocess
import sys
import time

import measure
from measure import lib

GOAL_RATE, GOAL_SHARE = 8000, 0.8


def jobs_file(place, jobs):
    path = place.path("jobs.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        for n in range(jobs):
            file.write(json.dumps(lib.job(f"row-{n:06d}", f"Item {n}, colour oat, 30 cm",
                                          system="You write for a shop.")) + "\n")
    return path


def bare(place, options, file):
    sim = place.sim(arguments=("--latency-ms", options.latency))
    out = subprocess.run([options.bare, f"{sim.url}/chat/completions", "sk-bench",
                          str(options.concurrency), file],
                         capture_output=True, text=True, check=True).stdout
    sim.stop()
    told = json.loads(out)
    return told["rate"], told["cpu_us"]


def offpeak(place, options, file, number, wrap=()):
    sim = place.sim(arguments=("--latency-ms", options.latency))
    data = place.path(f"data-{number}")
    begun = time.monotonic()
    running = subprocess.Popen(
        [*wrap, options.offpeak, "run", file, "--data", data, "--lane", "sync",
         "-o", place.path(f"out-{number}.jsonl"),
         "--set", f"sync.concurrency={options.concurrency}"],
        env=place.environment(sim), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watch = measure.Watch(running.pid)
    code = running.wait(300)
    seconds = time.monotonic() - begun
    watch.done()
    invoice = sim.invoice()
    sim.stop()
    if code != 0 or invoice["requests"] != options.jobs:
        sys.exit(f"offpeak ended with {code} after {invoice['requests']} calls")
    shutil.rmtree(data)
    return options.jobs / seconds, watch.cpu / options.jobs * 1e6, watch.anonymous / 1e6


def more(parser):
    parser.add_argument("--bare", default=measure.RELEASE.parent / "tests/bin/bare_http")
    parser.add_argument("--jobs", type=int, default=20000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--latency", type=int, default=20, help="of the simulator, in ms")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", choices=["perf"])


def main():
    options = measure.start(__doc__, more)
    print(f"{options.jobs} jobs, {options.concurrency} at a time, {options.latency} ms each")
    print(f"{'bare':>10} {'CPU/call':>9} {'offpeak':>10} {'CPU/job':>9} {'share':>7} {'memory':>8}")
    best = (0, 0)
    with lib.Place() as place:
        file = jobs_file(place, options.jobs)
        for number in range(options.rounds):
            client, least = bare(place, options, file)
            rate, cpu, memory = offpeak(place, options, file, number)
            print(f"{client:8.0f}/s {least:6.0f} us {rate:8.0f}/s {cpu:6.0f} us"
                  f" {rate / client:7.0%} {memory:5.0f} MB")
            best = max(best, (rate, rate / client))
        if options.profile:
            data = place.path("perf.data")
            offpeak(place, options, file, "p",
                    ("perf", "record", "-g", "-F", "499", "-o", data))
            subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children",
                            "--percent-limit", "1", "-g", "none"], check=False)
    print(f"goal: {GOAL_RATE}/s and {GOAL_SHARE:.0%}; best: {best[0]:.0f}/s and {best[1]:.0%}")


main()
