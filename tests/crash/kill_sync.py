#!/usr/bin/env python3
"""Kills `offpeak run --lane sync` at random moments and looks at the bill.

A call made by itself cannot be looked up afterwards: when the program dies, calls that were under
way may have been billed without anybody having seen an answer. So "bought once" cannot hold; what
must hold is that every such call is counted, booked at its bound, and listed. Each night is a
fresh data folder, a fresh simulator with a fault script and one job file; the program is killed
(SIGKILL) at random moments or at points of its own code, and at last left alone. Then

    every job has one result, and an answer is one to its own question
    requests billed twice <= calls in doubt
    spend <= invoice <= spend + in doubt, to the pico-dollar
    `offpeak spend --in-doubt` lists each of them with its cost

    kill_sync.py --kills 50           a campaign (or OFFPEAK_SYNC_KILLS=50)
    kill_sync.py --seed 7             the same choices again
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

JOBS = 240
KILLS_A_NIGHT = 4
SETTINGS = {"sync.concurrency": "12"}
NIGHTS = {
    "calm": [],
    "lost": [{"on": "chat", "count": 0, "p": 0.05, "do": "drop_after"},
             {"on": "chat", "count": 0, "p": 0.03, "do": "drop_before"}],
    "refused": [{"on": "chat", "count": 0, "p": 0.1, "do": "status", "status": 429,
                 "code": "rate_limit_exceeded", "retry_after": 0},
                {"on": "chat", "count": 0, "p": 0.05, "do": "status", "status": 503},
                {"on": "chat", "count": 0, "p": 0.03, "do": "status", "status": 500,
                 "after": True}],
}
POINTS = ("direct.before_commit", "direct.journaled", "direct.sent", "direct.reply",
          "direct.book", "direct.recover", "settle.before_commit", "settle.after_commit")


def jobs_of(rng):
    jobs = []
    for n in range(JOBS):
        text = f"Describe item {rng.randrange(JOBS * 9 // 10)} in one sentence."
        jobs.append(lib.job(f"job-{n}", text, system="You write for a shop. " * 9))
    return jobs


class Night:
    def __init__(self, place, rng, name):
        self.place, self.rng, self.name = place, rng, name
        self.jobs = jobs_of(rng)
        self.file = place.write("jobs.jsonl", lib.lines_of(self.jobs))
        self.sim = place.sim(faults=NIGHTS[name], arguments=(
            "--seed", rng.randrange(10**6), "--latency-ms", rng.choice((5, 30, 60))))
        self.kills = []

    def begin(self, **env):
        return self.place.begin(self.sim, self.file, "--lane", "sync", "-o",
                                self.place.path("out.jsonl"), settings=SETTINGS,
                                env=self.place.environment(self.sim, **env))

    def kill(self):
        """False: the run was over before."""
        point = self.rng.choice((*POINTS, "", "", "", ""))
        if point:
            often = point in ("direct.sent", "direct.reply")
            nth = self.rng.randrange(1, 60) if often else self.rng.randrange(1, 4)
            ended = self.begin(OFFPEAK_FAILPOINT=f"{point}:{nth}=kill").wait()
        else:
            running = self.begin()
            until = time.monotonic() + self.rng.uniform(0.1, 1.0)
            while running.alive() and time.monotonic() < until:
                time.sleep(0.003)
            if running.alive():
                running.signal(signal.SIGKILL)
            ended = running.wait()
        if ended.code != -signal.SIGKILL:
            lib.that(f"night '{self.name}': ends well when it is not killed",
                     ended.code in (0, 3), ended)
            return False
        self.kills.append(point or "random moment")
        self.place.audit(f"night '{self.name}', killed at {self.kills[-1]}", early=True)
        return True

    def finish(self):
        ended = self.begin().wait()
        if lib.that(f"night '{self.name}' ends", ended.code in (0, 3),
                    "" if ended.code in (0, 3) else ended):
            self.check()
        self.sim.stop()

    def check(self):
        said = f"night '{self.name}', killed {len(self.kills)} times"
        results = lib.read_lines(self.place.path("out.jsonl"))
        ids = collections.Counter(r["custom_id"] for r in results)
        digests = {j["custom_id"]: lib.digest_of(j) for j in self.jobs}
        wrong = [r["custom_id"] for r in results
                 if lib.digest_in(r) not in (None, digests[r["custom_id"]])]
        once = set(ids.values()) == {1} and set(ids) == set(digests)
        lib.that(f"{said}: one result a job, each of its own question", once and not wrong,
                 f"{len(results)} results" if once else ids.most_common(3))
        failed = [r for r in results if lib.digest_in(r) is None]
        strange = [r for r in failed if (r.get("error") or {}).get("code") != "in_doubt"]
        lib.that(f"{said}: what has no answer is in doubt", not strange, strange[:1] or len(failed))
        self.check_money(said)
        lib.equal(f"{said}: rows left in the journal", self.place.cat("batches"), [])
        self.place.audit(said, self.sim)

    def check_money(self, said):
        invoice, records = self.sim.invoice(), self.place.spend_records()
        doubts = [r for r in records if r["kind"] == "in_doubt"]
        spend = sum(r["cost"] for r in records if r["cost"] is not None) * lib.PICO
        doubt = sum(r["in_doubt_usd"] for r in doubts) * lib.PICO
        total = invoice["total_pico"]
        lib.that(f"{said}: spend <= invoice <= spend + in doubt",
                 spend <= total <= spend + doubt, f"{spend:f}, {total}, {spend + doubt:f}")
        twice = invoice["requests_billed_twice"]
        lib.that(f"{said}: billed twice <= in doubt", twice <= len(doubts),
                 f"{twice} and {len(doubts)}")
        listed = self.place.offpeak("spend", "--in-doubt", "--data", self.place.path("data"))
        lines = [line for line in listed.out.splitlines() if "at most $" in line]
        lib.that(f"{said}: each is listed with its cost", len(lines) == len(doubts)
                 and all(sum(r["job_id"] in line for line in lines) >= 1 for r in doubts),
                 f"{len(lines)} lines, {len(doubts)} records")
        events = [r["event_id"] for r in records]
        lib.equal(f"{said}: records with an id of their own", len(set(events)), len(events))


def more(parser):
    parser.add_argument("--kills", type=int,
                        default=int(os.environ.get("OFFPEAK_SYNC_KILLS", "10")))


def main():
    options = lib.start(__doc__, more)
    rng, points = random.Random(options.seed), collections.Counter()
    names = list(NIGHTS)
    for number in range(4 * options.kills):
        if sum(points.values()) >= options.kills:
            break
        with lib.Place() as place:
            night = Night(place, random.Random(rng.randrange(10**9)), names[number % len(names)])
            while len(night.kills) < KILLS_A_NIGHT and night.kill():
                pass
            points.update(night.kills)
            night.finish()
    for point in (*POINTS, "random moment"):
        print(f"  {points[point]:5}  {point}")
    print(f"seed {options.seed}, {sum(points.values())} kills")
    lib.that(f"at least {options.kills} kills", sum(points.values()) >= options.kills,
             sum(points.values()))
    lib.finish()


main()
