#!/usr/bin/env python3
"""Kills `offpeak run` again and again and looks at the bill.

Each night is a fresh data folder, a fresh simulator with a fault script, and one job file. The
program is killed (SIGKILL) at a chosen point of its own code or at a random time, started again
with the same command, killed again ..., and at last left alone. Then every job must have one
result that carries its own question's digest, the simulator's invoice must equal our spend to
the pico-dollar, and it must have billed nothing twice.

The points are failpoints of a dev build (core/failpoint.h): `batch.STATE` is passed when the
journal says STATE and nothing was done about it yet; `create.reply` when the provider has
accepted a create and its id is not committed. After every kill the journal is read with
`offpeak cat batches`: the table at the end counts kills by what stood there.

    kill_test.py --seed 7             the same choices again
    kill_test.py --kills 1000         a campaign (or OFFPEAK_KILLS=1000)
    kill_test.py --only accounts      other keys and other addresses over a killed night
"""
import collections
import os
import pathlib
import random
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import lib  # noqa: E402

QUICK = {"batch.poll": "80ms", "batch.linger": "60ms", "batch.absent_after": "700ms",
         "batch.max_requests": "40"}
KEY = "sk-crash-0001"
AT_LEAST = 5        # kills in each state, and between acceptance and commit
KILLS_A_NIGHT = 6
ROUNDS = ("none", "lost", "late", "errors", "expire", "cancel", "tokens", "alone", "dead", "lines")

# What goes wrong at the provider. List lag is simulated time: 900 s are 0.45 s here.
FAULTS = {
    "none": [],
    "lost": [{"on": "batches.create", "count": 0, "p": 0.5, "do": "drop_after"},
             {"on": "batches.create", "count": 0, "p": 0.5, "do": "list_lag", "seconds": 900},
             {"on": "files.create", "count": 0, "p": 0.2, "do": "drop_after"}],
    "late": [{"on": "batches.create", "count": 0, "p": 0.5, "do": "late", "ms": 300},
             {"on": "batches.list", "count": 0, "p": 0.5, "do": "list_lag", "seconds": 600}],
    "errors": [{"on": "batches.create", "count": 0, "p": 0.3, "do": "status", "status": 502,
                "after": True},
               {"on": "batches.create", "count": 0, "p": 0.2, "do": "status", "status": 429,
                "code": "rate_limit_exceeded", "retry_after": 0},
               {"on": "batches.get", "count": 0, "p": 0.2, "do": "status", "status": 503},
               {"on": "files.content", "count": 0, "p": 0.3, "do": "truncate", "bytes": 900},
               {"on": "files.create", "count": 0, "p": 0.2, "do": "status", "status": 500},
               {"on": "batches.list", "count": 0, "p": 0.2, "do": "drop_before"},
               {"on": "files.delete", "count": 0, "p": 0.3, "do": "drop_after"}],
    "expire": [{"on": "batch", "count": 0, "p": 0.4, "do": "expire", "share": 0.3},
               {"on": "batches.create", "count": 0, "p": 0.2, "do": "drop_after"}],
    "cancel": [{"on": "batch", "count": 0, "p": 0.4, "do": "cancel", "share": 0.6},
               {"on": "batches.create", "count": 0, "p": 0.2, "do": "drop_after"}],
    "tokens": [{"on": "batch", "count": 0, "p": 0.4, "do": "fail",
                "code": "token_limit_exceeded", "message": "too many tokens enqueued"}],
    "alone": [{"on": "batch", "nth": 1, "count": 6, "do": "fail",
               "code": "token_limit_exceeded", "message": "too many tokens enqueued"}],
    "dead": [{"on": "batch", "count": 14, "do": "fail", "code": "internal_error",
              "message": "could not validate the batch"}],
    "lines": [{"on": "line", "count": 0, "p": 0.1, "do": "error", "status": 429,
               "code": "rate_limit_exceeded"},
              {"on": "line", "count": 0, "p": 0.05, "do": "duplicate"},
              {"on": "line", "count": 0, "p": 0.05, "do": "unknown_id"}],
}
# Where to kill; the faults under which the point is passed at all.
POINTS = {
    "lane.journaled.before": ROUNDS,
    "batch.journaled": ROUNDS,
    "upload.after_reply": ROUNDS,
    "batch.uploaded": ROUNDS,
    "create.before_send": ROUNDS,
    "create.sent": ROUNDS,
    "create.reply": ("none", "late", "errors", "expire", "cancel", "lines"),
    "recover.look": ("none", "lost", "late", "errors"),
    "recover.deleted": ("none", "lost", "errors"),
    "batch.submitted": ROUNDS,
    "batch.polling": ROUNDS,
    "poll.terminal": ROUNDS,
    "download.mid": ("none", "lost", "late", "errors", "expire", "cancel", "lines"),
    "batch.expired": ("expire",),
    "batch.cancelled": ("cancel",),
    "batch.fetched": ("none", "lost", "late", "errors", "expire", "cancel", "lines"),
    "collect.mid": ("none", "lost", "late", "errors", "expire", "cancel", "lines"),
    "settled.before": ROUNDS,
    "batch.settled": ROUNDS,
    "batch.retry": ("tokens", "alone", "dead"),
    "batch.split": ("alone",),
    "split.before_commit": ("alone",),
    "batch.dead": ("dead",),
}
# Points that are passed for certain only after a kill at another one.
FIRST = {"recover.look": "batch.uploaded", "recover.deleted": "create.before_send"}
STATES = ("journaled", "uploaded", "submitted", "polling", "expired", "cancelled", "fetched",
          "retry", "dead")


# ---- a night ----


def jobs_of(rng, models):
    jobs, texts = [], [f"Describe item {rng.randrange(10**6)} in one sentence." for _ in range(90)]
    for n in range(240):
        model = rng.choice(models)
        text = texts[n] if n < len(texts) else rng.choice(texts) + (" Again." * rng.randrange(3))
        jobs.append(lib.job(f"job-{n}", text, model=model, system="You write for a shop. " * 9))
    return jobs


class Night:
    """One data folder, one provider, one file; killed, killed again, finished, checked."""

    def __init__(self, place, rng, faults, tally):
        self.place, self.rng, self.faults, self.tally = place, rng, faults, tally
        models = ("gpt-4o-mini",) if faults == "alone" else ("gpt-4o-mini", "gpt-4.1-mini")
        self.jobs = jobs_of(rng, models)
        self.file = place.write("jobs.jsonl", lib.lines_of(self.jobs))
        self.sim = place.sim(faults=FAULTS[faults], arguments=("--seed", rng.randrange(10**6)))
        self.settings = dict(QUICK)
        if faults == "alone":
            self.settings["batch.max_requests"] = "1000"
        self.killed_at = []

    def begin(self, key=KEY, sim=None, **env):
        return self.place.begin(sim or self.sim, self.file, "-o", self.place.path("out.jsonl"),
                                settings=self.settings,
                                env=self.place.environment(sim or self.sim, key, **env))

    def states(self):
        return {lib.value_of(r)["state"] for r in self.place.cat("batches")
                if "/" not in r["key"]}

    def kill_at(self, point):
        """True: the process was killed there; False: it ended by itself."""
        nth = self.rng.randrange(1, 120) if point == "collect.mid" else 1
        return self._ended(self.begin(OFFPEAK_FAILPOINT=f"{point}:{nth}=kill").wait(), point)

    def kill_somewhen(self):
        running = self.begin()
        until = time.monotonic() + self.rng.uniform(0.05, 1.6)
        while running.alive() and time.monotonic() < until:
            time.sleep(0.005)
        if running.alive():
            running.signal(signal.SIGKILL)
        return self._ended(running.wait(), "random time")

    def _ended(self, ended, point):
        if ended.code != -signal.SIGKILL:
            lib.that(f"{self.name()}: ends well when it is not killed",
                     ended.code in (0, 3), ended)
            return False
        self.killed_at.append(point)
        self.tally.killed(point, self.states() or {"nothing"})
        self.place.audit(f"{self.name()}, killed at {point}", early=True)
        return True

    def name(self):
        return f"night of '{self.faults}'"

    def finish(self):
        ended = self.begin().wait()
        expected = (0, 3) if self.faults in ("dead", "lines") else (0,)
        if not lib.that(f"{self.name()} ends", ended.code in expected, "" if ended.code in expected
                        else ended):
            return
        self.check()
        self.sim.stop()

    def check(self):
        results = lib.read_lines(self.place.path("out.jsonl"))
        ids = collections.Counter(r["custom_id"] for r in results)
        wrong = [r["custom_id"] for r in results if lib.digest_in(r)
                 and lib.digest_in(r) != self.digests()[r["custom_id"]]]
        answered = sum(lib.digest_in(r) is not None for r in results)
        invoice, records = self.sim.invoice(), self.place.spend_records()
        paid = sum(r["cost"] for r in records if r["cost"] is not None) * lib.PICO
        once = set(ids.values()) == {1} and set(ids) == {j["custom_id"] for j in self.jobs}
        self.place.run(self.sim, None, settings=self.settings, key=KEY)  # the next command
        left = self.place.cat("batches"), list(self.place.path("data/spool").iterdir())
        said = f"{self.name()}, killed {len(self.killed_at)} times"
        lib.that(f"{said}: one result a job, each of its own question", once and not wrong,
                 f"{len(results)} results, {answered} answered" if once else ids.most_common(3))
        lib.equal(f"{said}: one result and one spend record stored for each",
                  (len(self.place.cat("results.default")), len(records)),
                  (len(self.jobs), len(self.jobs)))
        lib.that(f"{said}: every job is answered", answered == len(results)
                 or self.faults in ("dead", "lines"), f"{answered} of {len(results)}")
        lib.that(f"{said}: invoice = spend", paid == invoice["total_pico"]
                 and invoice["total_pico"] + answered > 0,
                 f"{invoice['total_pico']} and {paid:f} pico-dollars"
                 + ("" if paid == invoice["total_pico"] else f"; kills {self.killed_at}"))
        lib.equal(f"{said}: requests billed twice", invoice["requests_billed_twice"], 0)
        lib.that(f"{said}: the next command leaves nothing over", left == ([], []), "" if left == ([], []) else left)
        self.place.audit(said, self.sim)

    def digests(self):
        return {j["custom_id"]: lib.digest_of(j) for j in self.jobs}


# ---- the campaign ----


class Tally:
    def __init__(self):
        self.points, self.states = collections.Counter(), collections.Counter()
        self.lock = threading.Lock()

    def killed(self, point, states):
        with self.lock:
            self.points[point] += 1
            for state in states:
                self.states[state] += 1

    def total(self):
        return sum(self.points.values())

    def needed(self):
        """Points that were not hit often enough, of them those that a state still needs."""
        points = [p for p in POINTS if self.points[p] < AT_LEAST]
        return points + [f"batch.{s}" for s in STATES if self.states[s] < AT_LEAST]

    def show(self):
        print("\nkills by point of the program:")
        for point in (*POINTS, "random time"):
            print(f"  {self.points[point]:5}  {point}")
        print("kills by what stood in the journal (a kill may count for several batches):")
        for state in ("nothing", *STATES):
            print(f"  {self.states[state]:5}  {state}")


def choose_kills(rng, tally, faults):
    """In the order of a batch's life, so that one night passes all of them."""
    reachable = [p for p in POINTS if faults in POINTS[p]]
    wanted = [p for p in tally.needed() if p in reachable] or reachable
    picked = rng.sample(wanted, min(len(wanted), KILLS_A_NIGHT))
    ordered = sorted(picked, key=list(POINTS).index)
    kills = [p for point in ordered for p in (FIRST.get(point), point) if p]
    return kills + ["random time"]


def one_night(seed, faults, tally):
    rng = random.Random(seed)
    with lib.Place() as place:
        night = Night(place, rng, faults, tally)
        for point in choose_kills(rng, tally, faults):
            alive = night.kill_somewhen() if point == "random time" else night.kill_at(point)
            if not alive:
                break
        night.finish()


def faults_for(rng, tally, number):
    """First every kind of night once; then those whose points are still needed."""
    if number < len(ROUNDS):
        return ROUNDS[number]
    needed = tally.needed()
    return rng.choice(POINTS[rng.choice(needed)] if needed else ROUNDS)


def campaign(kills, seed):
    tally, rng, numbers, lock = Tally(), random.Random(seed), iter(range(10**6)), threading.Lock()

    def work():
        while True:
            with lock:
                number = next(numbers)
                if number > 40 + kills or (tally.total() >= kills and not tally.needed()):
                    return
                faults, night_seed = faults_for(rng, tally, number), rng.randrange(10**9)
            one_night(night_seed, faults, tally)

    workers = [threading.Thread(target=work) for _ in range(lib.options.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    tally.show()
    print(f"seed {seed}, {tally.total()} kills")
    lib.that(f"at least {kills} kills", tally.total() >= kills, tally.total())
    lib.that(f"every state of the journal at least {AT_LEAST} times",
             all(tally.states[s] >= AT_LEAST for s in STATES), dict(tally.states))
    lib.that("between a create's acceptance and the commit of its id at least "
             f"{AT_LEAST} times", tally.points["create.reply"] >= AT_LEAST,
             tally.points["create.reply"])
    lib.that("every point of the program", not tally.needed(), tally.needed() or "")


# ---- other keys, other addresses ----

OVER = ("completed", "failed", "expired", "cancelled")


def rotated_key(seed):
    lib.part("a rotated key of the same project goes on")
    for point in ("batch.uploaded", "create.reply", "batch.submitted", "batch.fetched"):
        with lib.Place() as place:
            night = Night(place, random.Random(seed), "none", Tally())
            lib.that(f"killed at {point}", night.begin(
                OFFPEAK_FAILPOINT=f"{point}=kill").wait().code == -signal.SIGKILL)
            ended = night.begin(key="sk-crash-rotated-0002").wait()
            lib.that(f"{point}: the new key goes on", ended.code == 0,
                     "" if ended.code == 0 else ended)
            night.check()


def bought(sim):
    return sim.invoice()["requests"], len(sim.ask("/sim/batches")["data"])


def other_account(seed):
    lib.part("another project's key buys nothing while a batch is under way, and says why")
    for point in ("batch.uploaded", "create.reply", "batch.submitted"):
        with lib.Place() as place:
            night = Night(place, random.Random(seed), "none", Tally())
            night.begin(OFFPEAK_FAILPOINT=f"{point}=kill").wait()
            lib.wait_for(lambda: all(b["batch"]["status"] in OVER
                                     for b in night.sim.ask("/sim/batches")["data"]))
            before = bought(night.sim)
            for file in (night.file, None):
                ended = place.run(night.sim, file, settings=night.settings,
                                  key="sk-stranger-0009")
                lib.that(f"{point}, {'the run' if file else 'the folder'}: refused with a reason",
                         ended.code in (4, 5) and "account" in ended.err, ended)
            lib.equal(f"{point}: nothing was bought", bought(night.sim), before)
            lib.that(f"{point}: the first key goes on", night.begin().wait().code == 0)
            night.check()


def other_address(seed):
    lib.part("another base URL buys nothing while work is under way, and names both")
    for point in ("lane.journaled.before", "batch.journaled", "batch.uploaded",
                  "batch.submitted"):
        with lib.Place() as place:
            night, other = Night(place, random.Random(seed), "none", Tally()), place.sim()
            more = place.write("more.jsonl", lib.lines_of([lib.job("more", "One more.")]))
            night.begin(OFFPEAK_FAILPOINT=f"{point}=kill").wait()
            for what, file in (("run", night.file), ("folder", None), ("next run", more)):
                ended = place.run(other, file, settings=night.settings, key=KEY)
                names = night.sim.address in ended.err and other.address in ended.err
                lib.that(f"{point}, the {what}: exit 2 with both",
                         ended.code == 2 and names, ended)
            lib.equal(f"{point}: nothing was bought there", bought(other), (0, 0))
            lib.that(f"{point}: the first address goes on", night.begin().wait().code == 0)
            night.check()


def waiting_elsewhere(seed):
    lib.part("jobs that wait for one base URL are sent to no other, whoever works next")
    with lib.Place() as place:
        night, other = Night(place, random.Random(seed), "none", Tally()), place.sim()
        more = place.write("more.jsonl", lib.lines_of([lib.job("more", "One more.")]))
        place.offpeak("budget", "pause", "default", "--data", place.path("data"))
        lib.equal("paused: the run waits", night.begin().wait().code, 8)
        place.offpeak("budget", "resume", "default", "--data", place.path("data"))
        for code, arguments in ((2, (more,)), (2, (more, "--wait")), (8, (None,))):
            ended = place.run(other, *arguments, settings=night.settings)
            names = night.sim.address in ended.err and other.address in ended.err
            lib.that("the other address waits and names both",
                     ended.code == code and names, ended)
        lib.equal("nothing was bought there", bought(other), (0, 0))
        ended = place.run(other, more, "--feature", "else")
        lib.that("another queue goes on there", ended.code == 0, ended)
        lib.equal("and buys what is its own", bought(other)[0], 1)
        lib.that("the first address goes on", night.begin().wait().code == 0)
        lib.equal("and buys nothing twice", night.sim.invoice()["requests_billed_twice"], 0)


def more(parser):
    parser.add_argument("--kills", type=int, default=int(os.environ.get("OFFPEAK_KILLS", "110")))
    parser.add_argument("--jobs", type=int, default=2, help="nights at a time")


def main():
    options = lib.start(__doc__, more)
    print(f"seed {options.seed}")
    if lib.wanted("accounts"):
        rotated_key(options.seed)
        other_account(options.seed)
        other_address(options.seed)
        waiting_elsewhere(options.seed)
    if lib.wanted("kills"):
        campaign(options.kills, options.seed)
    lib.finish()


main()
