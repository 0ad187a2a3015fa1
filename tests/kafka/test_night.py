#!/usr/bin/env python3
"""A night of work on a real broker: every job answered once, every question bought once, whoever
comes, is killed, or loses all that it had on disk.

    tests/kafka/test_night.py [--only night|folder|all] [--jobs N] [--file JOBS]
"""
import random
import time

import system
import lib


def jobs_of(options, name="job"):
    if options.file:
        return lib.read_lines(options.file)
    return system.night(options.rng, options.jobs, name=name)


def end_all(s):
    for daemon in s.daemons:
        if daemon.wanted:
            lib.equal(f"{daemon.name} ends when it is told to", daemon.end(), 0)


def second_night(s, jobs):
    lib.part("the next night asks the same")
    before = s.sim.invoice()
    again = system.named(jobs, "-again")
    s.submit(again, "again")
    if s.finish(2 * len(jobs)):
        system.check(s, jobs + again, calls=system.distinct(jobs))
        lib.that("it costs nothing", s.sim.invoice() == before, s.sim.billed())
        commands(s, again, "again")


def commands(s, jobs, run):
    """What a person sees of it, on a machine that was not there before."""
    done = s.command("results", "--run", run, "-o", s.place.path(f"{run}.out"), "--wait")
    lib.equal("results --wait ends well", done.code if not done.code else repr(done), 0)
    results = lib.read_lines(s.place.path(f"{run}.out"))
    lib.that("with the results of that run", sorted(r["custom_id"] for r in results)
             == sorted(j["custom_id"] for j in jobs), f"{len(results)} of {len(jobs)}")
    done = s.command("audit", "-q")
    lib.equal("audit finds nothing", done.code if not done.code else done.out + done.err, 0)


def work_at_provider(s, jobs):
    """A quarter is answered; of the rest batches run at the provider until it is told to go on."""
    first = len(jobs) // 4
    s.send(jobs[:first])  # without a word of ours on them
    lib.that("a quarter is answered", s.wait_for(lambda: s.answered() == first), s.answered())
    s.sim.ask("/sim/hold", b"")
    s.submit(jobs[first:], "rest")
    running = s.wait_for(lambda: s.still(lambda: s.provider("in_progress", "validating"), 1))
    return lib.that("batches run at the provider", running, running)


def go_on(s, jobs, options):
    """The provider answers what it has, and the night ends as it must; and so does the next."""
    s.sim.go()
    if s.finish(len(jobs), options.seconds):
        system.check(s, jobs)
        second_night(s, jobs)
        end_all(s)


def night(options):
    lib.part("a scheduler and three workers; one more comes, one is killed")
    jobs = jobs_of(options)
    with system.System(flow_calls=options.flow) as s:
        s.daemon("scheduler")
        workers = [s.daemon("worker") for _ in range(3)]
        began = time.monotonic()
        if not work_at_provider(s, jobs):
            return
        added = s.daemon("worker")
        lib.that("the worker that is added gets a share",
                 s.wait_for(lambda: "at work" in added.said()))
        time.sleep(options.rng.uniform(0, 2))
        lost = options.rng.choice(workers)
        lost.kill()
        print(f"killed {lost.name}, {s.provider('in_progress')} batches run, {s.answered()} results")
        go_on(s, jobs, options)
        print(f"{len(jobs)} jobs, {system.distinct(jobs)} different, {time.monotonic() - began:.1f} s")


def folder(options):
    lib.part("a worker and its folder are lost while its batches run at the provider")
    jobs = jobs_of(options)
    with system.System(flow_calls=options.flow) as s:
        s.daemon("scheduler")
        lost = s.daemon("worker")
        if not work_at_provider(s, jobs):
            return
        before = s.provider("in_progress")
        lost.kill()
        lost.forget()
        other = s.daemon("worker")
        lib.that("another has its share", s.wait_for(lambda: "at work" in other.said()))
        go_on(s, jobs, options)
        print(f"{before} batches were under way, {s.provider('completed')} were bought in all")


def everything(options):
    lib.part("all daemons and all their folders are lost, the broker and the provider stay")
    jobs = jobs_of(options)
    with system.System(flow_calls=options.flow) as s:
        first = [s.daemon("scheduler"), s.daemon("worker"), s.daemon("worker")]
        if not work_at_provider(s, jobs):
            return
        for daemon in first:
            daemon.kill()
            daemon.forget()
        for role in ("scheduler", "worker", "worker"):
            s.daemon(role)
        go_on(s, jobs, options)


PARTS = {"night": night, "folder": folder, "everything": everything}


def more(parser):
    parser.add_argument("--file", help="a job file to use instead of a generated one")
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--flow", type=int, default=150, help="calls under way at a time")
    parser.add_argument("--seconds", type=int, default=system.SOON_SECONDS,
                        help="without a result")


def main():
    options = lib.start(__doc__, more)
    options.rng = random.Random(options.seed)
    print(f"seed {options.seed}")
    for name, part in PARTS.items():
        if lib.wanted(name):
            part(options)
    lib.finish()


main()
