#!/usr/bin/env python3
"""Processes that stand still for so long that others take over, and then go on as if nothing had
happened: a scheduler lets nothing through twice, a worker buys nothing twice.

    tests/kafka/test_night_stopped.py [--only schedulers|unsent|unheard|in-commit|early|worker]
                                         [--points POINT...] 

SIGSTOP is sent at a moment of our choice, or by the program to itself at a point of its code.
"""
import random
import time

import system
import lib

COMMIT = "queue.before_kafka_commit"
LIMIT = "0.004"  # some two thirds of what the jobs cost


def released(s):
    return len({r["headers"]["job"] for r in s.releases.read()})


class Stopped:
    """How and when the active scheduler is stopped, and when it goes on."""

    def __init__(self, s, options, point=None, in_commit=False, seconds=0):
        self.s, self.point, self.in_commit, self.seconds = s, point, in_commit, seconds
        self.pause = options.rng.uniform(0, 1.5)
        self.hits = s.place.path("hits")
        self.env = {"OFFPEAK_FAILPOINT": f"{point}=stop"} if point else {}
        if in_commit:
            self.env = {"OFFPEAK_FAILPOINT": f"{COMMIT}:3=sleep_3000", "OFFPEAK_FAILPOINT_LOG": self.hits}

    def stop(self, first):
        if self.point:
            return lib.that("it stopped there", self.s.wait_for(first.is_stopped))
        if self.in_commit:
            held = self.s.wait_for(lambda: self.hits.exists()
                                   and self.hits.read_text().split().count(COMMIT) == 3, every=0.05)
            lib.that("it is about to commit", held)
            time.sleep(1)  # now the records are at the broker
        else:
            lib.that("some jobs are let through", self.s.wait_for(lambda: released(self.s) > 40))
            time.sleep(self.pause)
        first.stop()
        return True


def two_schedulers(options, **how):
    """The active one is stopped, at a point of its code or when some are let through."""
    jobs = system.night(options.rng, options.jobs)
    with system.System(flow_calls=60, hold=True) as s:
        s.limit(LIMIT)
        stopped = Stopped(s, options, **how)
        first = s.daemon("scheduler", **stopped.env)
        if not lib.that("a scheduler is active", s.wait_for(lambda: "at work" in first.said())):
            return
        second = s.daemon("scheduler")
        s.daemon("worker")
        s.send(jobs)
        s.sim.go()
        if not stopped.stop(first):
            return
        at_stop, began = released(s), time.monotonic()
        if stopped.seconds:
            time.sleep(stopped.seconds)
            first.go_on()
        lib.that("the standby takes over", s.wait_for(lambda: "at work" in second.said()),
                 f"{time.monotonic() - began:.1f} s later")
        lib.that("it lets jobs through", s.wait_for(lambda: released(s) > at_stop),
                 f"{at_stop}, then {released(s)} of {len(jobs)}")
        first.go_on()
        used_up = s.wait_for(lambda: s.still(lambda: (released(s), s.answered()), 3))
        lib.that("until the budget is used up", used_up, f"{released(s)} of {len(jobs)} are let through")
        lib.that("billed within the limit", 0 < s.sim.billed() <= lib.decimal.Decimal(LIMIT),
                 f"{s.sim.billed():f} USD of {LIMIT}")
        system.check_budget(s)
        s.limit("100")
        if s.finish(len(jobs)):
            system.check(s, jobs)
            system.check_budget(s)
        lib.equal("daemons that ended by themselves", s.lost(), [])


def schedulers(options):
    lib.part("two schedulers: the active one is stopped past its session, and continued")
    two_schedulers(options)


def unsent(options):
    lib.part("two schedulers: the active one is stopped before its third commit is sent")
    two_schedulers(options, point=f"{COMMIT}:3")


def unheard(options):
    lib.part("two schedulers: the active one is stopped when its third commit was acknowledged")
    two_schedulers(options, point="queue.after_kafka_commit:3")


def in_commit(options):
    lib.part("two schedulers: the active one is stopped in a transaction that the broker ends")
    two_schedulers(options, in_commit=True)


def early(options):
    lib.part("two schedulers: the active one is stopped in a transaction, and goes on before it is ended")
    two_schedulers(options, in_commit=True, seconds=12)


def worker(options):
    for point in options.points:
        lib.part(f"a worker is stopped at {point}, others adopt its batches, it goes on")
        jobs = system.night(options.rng, options.jobs)
        with system.System(flow_calls=60) as s:
            s.daemon("scheduler")
            first = s.daemon("worker", OFFPEAK_FAILPOINT=f"{point}=stop")
            s.send(jobs)
            if not lib.that("it stopped there", s.wait_for(first.is_stopped)):
                return
            answered = s.answered()
            others = [s.daemon("worker") for _ in range(2)]
            lib.that("others have its share", s.wait_for(
                lambda: all("at work" in o.said() for o in others)))
            lib.that("and go on", s.wait_for(lambda: s.answered() > answered + 20),
                     f"{answered}, then {s.answered()} results")
            first.go_on()
            if s.finish(len(jobs)):
                system.check(s, jobs)
                more_jobs = system.night(options.rng, 60, name="more")
                s.send(more_jobs)
                s.finish(len(jobs) + len(more_jobs))
                system.check(s, jobs + more_jobs)
            lib.equal("daemons that ended by themselves", s.lost(), [])


PARTS = {"schedulers": schedulers, "schedulers-unsent": unsent, "schedulers-unheard": unheard,
         "schedulers-in-commit": in_commit, "schedulers-early": early, "worker": worker}


def more(parser):
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--points", nargs="+", default=["create.before_send:2"])


def main():
    options = lib.start(__doc__, more)
    options.rng = random.Random(options.seed)
    print(f"seed {options.seed}")
    for name, part in PARTS.items():
        if lib.wanted(name):
            part(options)
    lib.finish()


main()
