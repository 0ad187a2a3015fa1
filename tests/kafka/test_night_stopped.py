#!/usr/bin/env python3
"""Processes that stand still for so long that others take over, and then go on as if nothing had
happened: a scheduler lets nothing through twice, a worker buys nothing twice.

    tests/kafka/test_night_stopped.py [--only schedulers|unsent|unheard|worker]
                                         [--points POINT...] 

SIGSTOP is sent at a moment of our choice, or by the program to itself at a point of its code.
"""
import random
import time

import system
import lib

LIMIT = "0.004"  # some two thirds of what the jobs cost


def released(s):
    return len({r["headers"]["job"] for r in s.releases.read()})


def two_schedulers(options, point=None):
    """The active one is stopped, at a point of its code or when half is let through."""
    jobs = system.night(options.rng, options.jobs)
    with system.System(flow_calls=60, hold=True) as s:
        s.limit(LIMIT)
        env = {"OFFPEAK_FAILPOINT": f"{point}=stop"} if point else {}
        first = s.daemon("scheduler", **env)
        if not lib.that("a scheduler is active", s.wait_for(lambda: "at work" in first.said(), 40)):
            return
        second = s.daemon("scheduler")
        s.daemon("worker")
        s.send(jobs)
        s.sim.go()
        if point:
            lib.that("it stopped there", s.wait_for(first.is_stopped, 40))
        else:
            lib.that("some jobs are let through", s.wait_for(lambda: released(s) > 40))
            time.sleep(options.rng.uniform(0, 1.5))
            first.stop()
        at_stop = released(s)
        began = time.monotonic()
        lib.that("the standby takes over", s.wait_for(lambda: "at work" in second.said(), 60),
                 f"{time.monotonic() - began:.1f} s later")
        lib.that("it lets jobs through", s.wait_for(lambda: released(s) > at_stop, 40),
                 f"{at_stop}, then {released(s)} of {len(jobs)}")
        first.go_on()
        used_up = s.wait_for(lambda: s.still(lambda: (released(s), s.answered()), 3), 60)
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
    two_schedulers(options, "queue.before_kafka_commit:3")


def unheard(options):
    lib.part("two schedulers: the active one is stopped when its third commit was acknowledged")
    two_schedulers(options, "queue.after_kafka_commit:3")


def worker(options):
    for point in options.points:
        lib.part(f"a worker is stopped at {point}, others adopt its batches, it goes on")
        jobs = system.night(options.rng, options.jobs)
        with system.System(flow_calls=60) as s:
            s.daemon("scheduler")
            first = s.daemon("worker", OFFPEAK_FAILPOINT=f"{point}=stop")
            s.send(jobs)
            if not lib.that("it stopped there", s.wait_for(first.is_stopped, 40)):
                return
            answered = s.answered()
            others = [s.daemon("worker") for _ in range(2)]
            lib.that("others have its share", s.wait_for(
                lambda: all("at work" in o.said() for o in others), 60))
            lib.that("and go on", s.wait_for(lambda: s.answered() > answered + 20, 60),
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
         "worker": worker}


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
