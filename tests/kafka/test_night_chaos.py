#!/usr/bin/env python3
"""All at once, for a while: daemons killed, stopped and continued, started again with their folder
or without, the broker killed or silent, a provider that loses replies. In the end every job is
answered once and every question was bought once.

    tests/kafka/test_night_chaos.py [--seed N] [--blows N]
"""
import random
import threading
import time

import system
import lib

FAULTS = [{"on": "batches.create", "count": 0, "p": 0.2, "do": "drop_after"},
          {"on": "batches.create", "count": 0, "p": 0.2, "do": "late", "ms": 300},
          {"on": "batches.list", "count": 0, "p": 0.2, "do": "list_lag", "seconds": 60},
          {"on": "files.create", "count": 0, "p": 0.1, "do": "drop_after"},
          {"on": "files.content", "count": 0, "p": 0.2, "do": "truncate", "bytes": 900}]
STANDSTILL_SECONDS = 14  # longer than a session


class Blows:
    """One thing that goes wrong after another."""

    def __init__(self, system_, rng):
        self.s, self.rng, self.counts = system_, rng, {}

    def kill(self, daemon):
        daemon.kill()
        time.sleep(self.rng.uniform(0, 3))
        daemon.start()

    def lose(self, daemon):
        daemon.kill()
        daemon.forget()
        time.sleep(self.rng.uniform(0, 3))
        daemon.start()

    def end(self, daemon):
        code = daemon.end()
        if code:
            lib.equal(f"{daemon.name} ends when it is told to", code, 0)
        daemon.start()

    def stand_still(self, daemon):
        daemon.stop()
        time.sleep(self.rng.choice((1, STANDSTILL_SECONDS)))
        daemon.go_on()

    def kill_broker(self, _daemon):
        self.s.broker.kill()
        self.s.broker.up()

    def silent_broker(self, _daemon):
        self.s.broker.pause()
        time.sleep(self.rng.choice((1, STANDSTILL_SECONDS)))
        self.s.broker.resume()

    def two(self, daemon):
        other = self.rng.choice([d for d in self.s.daemons if d is not daemon])
        beside = threading.Thread(target=self.stand_still, args=(other,))
        beside.start()
        self.kill(daemon)
        beside.join()

    def strike(self):
        name = self.rng.choice(("kill", "lose", "end", "stand_still", "kill_broker",
                                "silent_broker", "two"))
        daemon = self.rng.choice(self.s.daemons)
        print(f"{name}, {daemon.name}; {self.s.answered()} results")
        self.counts[name] = self.counts.get(name, 0) + 1
        getattr(self, name)(daemon)


def chaos(options):
    lib.part(f"{options.blows} blows")
    rng = random.Random(options.seed)
    arguments = ("--seed", options.seed)
    with system.System(faults=FAULTS, arguments=arguments, flow_calls=40, speed=60) as s:
        for role in ("scheduler", "scheduler", "worker", "worker", "worker"):
            s.daemon(role)
        jobs, senders, blows = [], [], Blows(s, rng)
        for number in range(options.blows):
            some = system.night(rng, options.jobs, name=f"job-{number}")
            jobs += some
            senders.append(system.Feeder(s, some))
            time.sleep(rng.uniform(0.5, 6))
            if s.lost():
                break
            blows.strike()
        for sender in senders:
            sender.join(120)
        print(f"blows: {blows.counts}")
        if s.finish(len(jobs)):
            system.check(s, jobs)
            done = s.command("audit", "-q")
            lib.equal("audit finds nothing", done.code if not done.code else done.out + done.err, 0)
        lib.equal("daemons that ended by themselves", s.lost(), [])


def more(parser):
    parser.add_argument("--jobs", type=int, default=60, help="sent before each blow")
    parser.add_argument("--blows", type=int, default=12)


options_ = lib.start(__doc__, more)
print(f"seed {options_.seed}")
chaos(options_)
lib.finish()
