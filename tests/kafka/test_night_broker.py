#!/usr/bin/env python3
"""The broker goes away in the middle of a night: killed and started again, or silent for a while.
Nothing hangs, nothing is lost, nothing is bought twice.

    tests/kafka/test_night_broker.py [--only killed|silent] [--kills N] [--silent SECONDS]
"""
import random
import time

import system
import lib

END_SECONDS = 30  # what the command of a service manager may take


def killed(options):
    lib.part(f"the broker is killed and started again {options.kills} times")
    with system.System(flow_calls=40, speed=60) as s:
        s.daemon("scheduler")
        for _ in range(3):
            s.daemon("worker")
        jobs, senders, at, seen, waiting = [], [], [], [], 0
        for kill in range(options.kills):
            some = system.night(options.rng, options.jobs, name=f"job-{kill}")
            jobs += some
            senders.append(system.Feeder(s, some))
            if kill % 2:  # every other one when work went on, however long that takes
                s.wait_for(lambda: s.answered() > max(seen))
            at.append(round(options.rng.uniform(0 if kill % 2 else 1, options.between), 2))
            time.sleep(at[-1])
            seen.append(s.answered())
            waiting += seen[-1] < len(jobs)
            s.broker.kill()
            time.sleep(options.rng.uniform(0, 0.5))
            s.broker.up()
        print(f"killed {at} s after it was there, or after the first results that followed")
        lib.that("work went on between the kills", len(set(seen)) > options.kills / 3, f"{seen} results")
        lib.that("and was left to do at them", waiting >= options.kills / 4, waiting)
        for sender in senders:
            sender.join(120)
        lib.equal("a client could not send", [f.failed for f in senders if f.failed], [])
        if s.finish(len(jobs)):
            system.check(s, jobs)
        lib.equal("daemons that ended by themselves", s.lost(), [])


def silent(options):
    lib.part(f"the broker is silent (SIGSTOP) for {options.silent} s")
    with system.System(flow_calls=60) as s:
        s.daemon("scheduler")
        for _ in range(3):
            s.daemon("worker")
        jobs = system.night(options.rng, 2 * options.jobs, name="before")
        s.send(jobs)
        lib.that("work is under way", s.wait_for(lambda: s.answered() > options.jobs / 4))
        s.broker.pause()
        leaving = s.daemons[-1]
        time.sleep(options.silent / 2)
        began = time.monotonic()
        lib.equal("a worker that is told to end meanwhile ends", leaving.end(), 0)
        lib.that("soon", time.monotonic() - began < END_SECONDS, f"{time.monotonic() - began:.1f} s")
        time.sleep(max(0, options.silent / 2 - time.monotonic() + began))
        lib.equal("daemons that ended by themselves", s.lost(), [])
        s.broker.resume()
        leaving.start()
        began = time.monotonic()
        some = system.night(options.rng, options.jobs, name="after")
        s.send(some)
        if s.finish(len(jobs + some)):
            print(f"all was done {time.monotonic() - began:.1f} s after it answered again")
            system.check(s, jobs + some)
        lib.equal("daemons that ended by themselves", s.lost(), [])
        for daemon in s.daemons:
            lib.equal(f"{daemon.name} ends when it is told to", daemon.end(), 0)


PARTS = {"killed": killed, "silent": silent}


def more(parser):
    parser.add_argument("--jobs", type=int, default=60, help="sent before each kill")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--between", type=float, default=9, help="seconds between kills, at most")
    parser.add_argument("--silent", type=int, default=30)


def main():
    options = lib.start(__doc__, more)
    options.rng = random.Random(options.seed)
    print(f"seed {options.seed}")
    for name, part in PARTS.items():
        if lib.wanted(name):
            part(options)
    lib.finish()


main()
