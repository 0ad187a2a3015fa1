#!/usr/bin/env python3
"""Runs in lane pool against real inference servers: llama-server with a tiny model, four of them.

Every server names itself in its answers, so that it is seen which one answered what. Three nights:

    calm     every job is answered, a group of calls with one prefix is answered by one server,
             and most of what the servers read comes from their prompt caches
    faults   one server is killed and one stopped in the middle of the run: every job has one
             result, and before the first fault and after the last one calls keep to their
             group's server
    priced   servers that have a price: what was paid is tokens times price, exactly

Needs scripts/pool build (which fetches and builds llama-server once).
"""
import collections
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import lib  # noqa: E402

SERVERS, GROUPS, ROWS = 4, 12, 30
SLOTS = 4
DISPLACED = 4 * SLOTS  # under way at, or about to leave for, two servers: they go first elsewhere
AT_HOME = 0.9  # of the calls of a group, by the server that answered most of them
PRICE = {"input": "0.2", "cached": "0.02", "output": "0.8"}
RUN = {"pool.price": "free", "pool.context_tokens": "8192", "pool.stall": "3s",
       "pool.concurrency": str(SLOTS)}


def jobs():
    """Groups of different sizes, shuffled as a queue shuffles them."""
    made = []
    for group in range(GROUPS):
        guide = f"You are clerk {group} of a shop. " + f"Rule {group}: be brief and true. " * 40
        for row in range(ROWS // 2 + group * ROWS // GROUPS):
            made.append(lib.job(f"g{group}-{row}", f"Describe item {row} of shelf {group}.",
                                system=guide, model="tiny", max_completion_tokens=6))
    return sorted(made, key=lambda job: hash_of(job["custom_id"]))


def hash_of(text):
    return lib.hashlib.sha256(text.encode()).hexdigest()


class Servers:
    """The servers that scripts/pool starts, for one night."""

    def __init__(self, place):
        self.env = dict(os.environ, POOL_DIR=str(place.path("pool")), POOL_SLOTS=str(SLOTS))
        self.urls = self.call("up", str(SERVERS)).strip().splitlines()[-1]
        self.pids = [int(line.split()[1]) for line in self.call("status").splitlines()]

    def call(self, *what):
        return subprocess.run([lib.ROOT / "scripts/pool", *what], env=self.env, check=True,
                              stdout=subprocess.PIPE, encoding="utf-8").stdout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.call("down")


def begin(place, servers, file, **settings):
    return place.begin(None, file, "--lane", "pool", "--run", "night", "-o", place.path("out.jsonl"), settings={
        **RUN, "pool.servers": servers.urls, **settings}, env=place.environment(key=None))


def answers(place):
    """(group, server, when, usage) of each answered job."""
    found = []
    for result in lib.read_lines(place.path("out.jsonl")):
        if result["response"] and result["response"]["status_code"] == 200:
            body = result["response"]["body"]
            found.append((result["custom_id"].split("-")[0], body["model"], body["created"],
                          body["usage"]))
    return found


def at_home(found):
    groups = collections.defaultdict(collections.Counter)
    for group, server, _, _ in found:
        groups[group][server] += 1
    return sum(max(c.values()) for c in groups.values()) / max(1, len(found))


def each_once(place, wanted):
    ids = [r["custom_id"] for r in lib.read_lines(place.path("out.jsonl"))]
    lib.that("every job has one result", sorted(ids) == sorted(j["custom_id"] for j in wanted),
             f"{len(ids)} of {len(wanted)}")


def calm():
    lib.part("calm: groups stay together")
    with lib.Place() as place, Servers(place) as servers:
        wanted = jobs()
        ended = begin(place, servers, place.write("jobs.jsonl", lib.lines_of(wanted))).wait()
        lib.that("it ends well", ended.code == 0, ended.err if ended.code else "")
        each_once(place, wanted)
        found = answers(place)
        lib.equal("answered", len(found), len(wanted))
        lib.equal("servers that worked", len({server for _, server, _, _ in found}), SERVERS)
        share = at_home(found)
        lib.that(f"share at the group's server is {AT_HOME} or more", share >= AT_HOME,
                 f"{share:.3f}")
        tokens = sum(u["prompt_tokens"] for *_, u in found)
        cached = sum(u["prompt_tokens_details"]["cached_tokens"] for *_, u in found)
        lib.that("most prompt tokens come from a cache", cached > tokens / 2,
                 f"{cached / tokens:.3f} of {tokens}")


def faults():
    lib.part("faults: one server killed, one stopped")
    with lib.Place() as place, Servers(place) as servers:
        wanted = jobs()
        run = begin(place, servers, place.write("jobs.jsonl", lib.lines_of(wanted)))

        def done():
            results = place.offpeak("results", "--run", "night", "-o", "-", "-q", "--data",
                                    place.path("data"))
            return results.out.count("\n") if results.code == 0 else 0

        lib.wait_for(lambda: not run.alive() or done() > len(wanted) // 6, seconds=300)
        before = time.time()
        lib.that("the first fault comes in mid-run", run.alive())
        os.kill(servers.pids[0], signal.SIGKILL)
        time.sleep(1)
        os.kill(servers.pids[1], signal.SIGSTOP)
        lib.wait_for(lambda: not run.alive() or run.stderr().count("is down") == 2)
        after = time.time()
        ended = run.wait()
        lib.that("it ends well", ended.code == 0, ended.err if ended.code else "")
        each_once(place, wanted)
        found = answers(place)
        lib.equal("answered", len(found), len(wanted))
        early = [f for f in found if f[2] < int(before)]
        late = sorted((f for f in found if f[2] > after), key=lambda f: f[2])[DISPLACED:]
        kept = len(early) * at_home(early) + len(late) * at_home(late)
        share = kept / max(1, len(early) + len(late))
        lib.that(f"outside the faults {AT_HOME} or more at the group's server",
                 share >= AT_HOME, f"{share:.3f} of {len(early)} before and {len(late)} after")
        lib.that("who watches is told that servers are gone", "down" in ended.err, ended.err)


def priced():
    lib.part("priced: tokens times price")
    with lib.Place() as place, Servers(place) as servers:
        wanted = jobs()[:60]
        ended = begin(place, servers, place.write("jobs.jsonl", lib.lines_of(wanted)),
                      **{"pool.price": "/".join(PRICE.values())}).wait()
        lib.that("it ends well", ended.code == 0, ended.err if ended.code else "")
        million = lib.decimal.Decimal(10) ** 6
        cost = {name: lib.decimal.Decimal(text) / million for name, text in PRICE.items()}
        owed = lib.decimal.Decimal(0)
        for *_, u in answers(place):
            cached = u["prompt_tokens_details"]["cached_tokens"]
            owed += (u["prompt_tokens"] - cached) * cost["input"] + cached * cost["cached"]
            owed += u["completion_tokens"] * cost["output"]
        lib.equal("paid", lib.decimal.Decimal(place.spend()["cost_usd"]), owed)


def main():
    lib.start(__doc__)
    if subprocess.run([lib.ROOT / "scripts/pool", "cached"], check=False,
                      stdout=subprocess.DEVNULL).returncode:
        print("left out: llama-server is not built\nhint: scripts/test --with-pool")
        sys.exit(77)
    for night in (calm, faults, priced):
        if lib.wanted(night.__name__):
            night()
    lib.finish()


if __name__ == "__main__":
    main()
