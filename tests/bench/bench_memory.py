#!/usr/bin/python3
"""Memory does not grow with the input: lines of 2 kB from standard input, run to the end.

    tests/bench/bench_memory.py [--lines 100000,1000000] [--scratch DIR]

The lines are made on the fly and never stood in a file. Peak RssAnon + RssShmem must stay
below 200 MB, and the largest input's peak within 20 % of the smallest's. A million lines
need about 12 GB of scratch disk.
"""
import json
import os
import threading
import time

import measure
from measure import MB, lib

LIMIT_BYTES, SPREAD = 200 * 1000 * 1000, 0.20
LINE_BYTES = 2000


def line(number):
    """One job of LINE_BYTES, unlike every other."""
    job = lib.job(f"row-{number:08d}", f"Item {number}: ", max_completion_tokens=64)
    text = json.dumps(job)
    filler = (f"{number * 2654435761 % 2**32:08x} " * (LINE_BYTES // 9))[: LINE_BYTES - len(text) - 1]
    job["body"]["messages"][0]["content"] += filler
    return json.dumps(job) + "\n"


def feed(pipe, lines):
    with os.fdopen(pipe, "w", buffering=1 << 20) as out:
        try:
            for number in range(lines):
                out.write(line(number))
        except BrokenPipeError:
            pass  # the exit code tells


def measure_run(lines, settings):
    with lib.Place() as place:
        sim = place.sim(speed=100000)
        read_end, write_end = os.pipe()
        os.set_inheritable(write_end, False)
        started = time.monotonic()
        run = place.begin(sim, "-", "--run", "bench", "-o", place.path("out.jsonl"), "-q",
                          stdin=read_end, settings=settings)
        watch = measure.Watch(run.pid)
        os.close(read_end)
        feeder = threading.Thread(target=feed, args=(write_end, lines), daemon=True)
        feeder.start()
        ended = run.wait(timeout=6 * 3600)
        watch.done()
        seconds = time.monotonic() - started
        if not lib.equal(f"{lines} lines: exit code", ended.code, 0):
            print(ended.err[-2000:])
        with open(place.path("out.jsonl"), "rb") as out:
            lib.equal(f"{lines} lines: results", sum(1 for _ in out), lines)
        lib.equal(f"{lines} lines: calls", sim.invoice()["requests"], lines)
        data = sum(p.stat().st_blocks * 512 for p in place.path("data").rglob("*")
                   if p.is_file())
        return {"lines": lines, "seconds": seconds, "cpu": watch.cpu, "watch": watch,
                "data": data}


def more(parser):
    parser.add_argument("--lines", default="100000,1000000")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")


def main():
    options = measure.start(__doc__, more)
    settings = dict(s.split("=", 1) for s in options.set)
    runs = [measure_run(int(n), settings) for n in options.lines.split(",")]
    rows = [("lines", "seconds", "CPU s", "lines/s", "peak anonymous MB", "peak RssFile MB",
             "data folder MB", "samples")]
    rows += [(r["lines"], f"{r['seconds']:.1f}", f"{r['cpu']:.1f}",
              f"{r['lines'] / r['seconds']:.0f}", f"{r['watch'].anonymous / 1e6:.1f}",
              f"{r['watch'].peak['RssFile'] / 1e6:.1f}", f"{r['data'] / 1e6:.0f}",
              r["watch"].samples) for r in runs]
    print()
    measure.table(rows)
    print()
    peaks = [r["watch"].anonymous for r in runs]
    lib.that("peak anonymous memory is below 200 MB", max(peaks) < LIMIT_BYTES,
             f"{max(peaks) / MB:.1f} MiB")
    if len(peaks) > 1:
        lib.that("the largest input needs no more than 20 % more than the smallest",
                 max(peaks) <= (1 + SPREAD) * min(peaks),
                 f"{100 * (max(peaks) / min(peaks) - 1):.1f} %")
    lib.finish()


main()
