#!/usr/bin/env python3
"""Cancels a run at random moments, and looks at the bill and at its neighbour.

Each night two runs wait in one data folder, and every second question of one is also asked by the
other. `offpeak run` works them off; at a random moment `offpeak cancel` ends the first run, and in
some nights the program is killed soon after. When nothing is left to do,

    every job of the cancelled run has one result: an answer that was paid for, or cancelled
    every job of the other run has its answer
    the invoice is the spend, to the pico-dollar, and nothing was billed twice
    nothing stays reserved, and no batch stays in the journal

In the lane of calls made one by one the program is not killed: what a killed one leaves in doubt
is another test's matter.

    cancel_test.py --cancels 200      a campaign (or OFFPEAK_CANCELS=200)
    cancel_test.py --seed 7           the same choices again
"""
import collections
import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import lib  # noqa: E402

JOBS = 160
SETTINGS = {"batch.poll": "80ms", "batch.linger": "60ms", "batch.absent_after": "700ms",
            "batch.max_requests": "30", "sync.concurrency": "6"}
FAULTS = {
    "calm": [],
    "refused": [{"on": "batch", "count": 0, "p": 0.4, "do": "fail",
                 "code": "token_limit_exceeded", "message": "too many tokens enqueued"}],
    "lost": [{"on": "batches.create", "count": 0, "p": 0.3, "do": "drop_after"},
             {"on": "batches.cancel", "count": 0, "p": 0.3, "do": "drop_after"}],
    "expire": [{"on": "batch", "count": 0, "p": 0.3, "do": "expire", "share": 0.4}],
}


def question(n):
    return f"Describe item {n} in one sentence."


def jobs_of(name, numbers):
    return [lib.job(f"{name}-{n}", question(n), system="You write for a shop. " * 9)
            for n in numbers]


class Night:
    def __init__(self, place, rng, faults, lane):
        self.place, self.rng, self.lane = place, rng, lane
        self.said = f"night '{faults}', lane {lane}"
        self.runs = {"gone": jobs_of("gone", range(JOBS)),
                     "kept": jobs_of("kept", range(0, JOBS * 2, 2))}
        # A batch takes 0.3 to 1.2 seconds, and a call by itself 20 ms.
        self.sim = place.sim(faults=FAULTS[faults], speed=rng.choice((100, 200, 400)),
                             arguments=("--seed", rng.randrange(10**6), "--latency-ms",
                                        20 if lane == "sync" else 0))
        for run in rng.sample(sorted(self.runs), 2):
            file = place.write(f"{run}.jsonl", lib.lines_of(self.runs[run]))
            ended = self.place.offpeak("submit", file, "--run", run, "--lane", lane, "-q", "--data",
                                       self.place.path("data"), env=place.environment(self.sim))
            assert ended.code == 0, ended

    def begin(self):
        return self.place.begin(self.sim, None, "-q", settings=SETTINGS)

    def wait_for_the_moment(self, running):
        """Some time after the start, or when so many calls were billed, however long that takes."""
        if self.rng.random() < 0.5:
            time.sleep(self.rng.choice((0.05, 0.4, 0.8, 1.6)) * self.rng.uniform(0.3, 1.5))
        else:
            calls = self.rng.randrange(1, JOBS)
            lib.wait_for(lambda: self.sim.invoice()["requests"] >= calls or not running.alive())

    def go(self):
        """True when the cancel came in time to end anything."""
        running = self.begin()
        self.wait_for_the_moment(running)
        ended = self.place.offpeak("cancel", "--run", "gone", "--data", self.place.path("data"))
        assert ended.code == 0, ended
        if self.lane == "batch" and self.rng.random() < 0.5:
            time.sleep(self.rng.uniform(0, 0.6))
            running.signal(signal.SIGKILL)
            running.wait()
            self.said += ", killed"
            running = self.begin()
        ended = running.wait()
        lib.that(f"{self.said}: ends", ended.code in (0, 3),
                 "" if ended.code in (0, 3) else ended)
        states = self.check_results()
        self.check_money()
        again = self.place.run(self.sim, self.place.path("gone.jsonl"), "--run", "gone", "-q",
                               "--lane", self.lane, settings=SETTINGS)
        lib.equal(f"{self.said}: the cancelled run again", again.code,
                  3 if states["cancelled"] else 0)
        self.sim.stop()
        return states

    def results(self, run):
        out = self.place.path(f"{run}.out")
        self.place.offpeak("results", "--run", run, "-o", out, "-q", "--data",
                           self.place.path("data"))
        return lib.read_lines(out)

    def check_results(self):
        states = {}
        for run, jobs in self.runs.items():
            results = self.results(run)
            ids = collections.Counter(r["custom_id"] for r in results)
            digests = {j["custom_id"]: lib.digest_of(j) for j in jobs}
            once = set(ids.values()) == {1} and set(ids) == set(digests)
            lib.that(f"{self.said}: run '{run}' has one result a job", once,
                     len(results) if once else ids.most_common(3))
            wrong = [r["custom_id"] for r in results
                     if r["offpeak"]["status"] == "ok" and
                     lib.digest_in(r) != digests[r["custom_id"]]]
            lib.equal(f"{self.said}: run '{run}', answers to other questions", wrong, [])
            states[run] = collections.Counter(r["offpeak"]["status"] for r in results)
        lib.equal(f"{self.said}: the other run is answered", dict(states["kept"]), {"ok": JOBS})
        lib.that(f"{self.said}: the cancelled run has answers, or is cancelled",
                 set(states["gone"]) <= {"ok", "cancelled"}, dict(states["gone"]))
        return states["gone"]

    def check_money(self):
        invoice, records = self.sim.invoice(), self.place.spend_records()
        spend = sum(r["cost"] for r in records) * lib.PICO
        lib.equal(f"{self.said}: the spend is the invoice", spend, invoice["total_pico"])
        lib.equal(f"{self.said}: billed twice", invoice["requests_billed_twice"], 0)
        self.place.audit(self.said, self.sim)
        lib.equal(f"{self.said}: still reserved", self.place.cat("open"), [])
        lib.equal(f"{self.said}: left in the journal", self.place.cat("batches"), [])


def more(parser):
    parser.add_argument("--cancels", type=int,
                        default=int(os.environ.get("OFFPEAK_CANCELS", "20")))


def main():
    options = lib.start(__doc__, more)
    rng, total = random.Random(options.seed), collections.Counter()
    for number in range(options.cancels):
        faults = sorted(FAULTS)[number % len(FAULTS)]
        lane = "sync" if number % 5 == 4 else "batch"
        with lib.Place() as place:
            night = Night(place, random.Random(rng.randrange(10**9)), faults, lane)
            states = night.go()
            total.update(states)
            total["nights in the middle"] += len(states) == 2
    print(f"seed {options.seed}, {options.cancels} cancels: {dict(total)}")
    lib.that("some jobs were answered before, and some were cancelled",
             total["ok"] and total["cancelled"], dict(total))
    lib.finish()


main()
