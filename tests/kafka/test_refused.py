#!/usr/bin/env python3
"""A team's results topic that refuses: made for small records, deleted, closed to the worker. A record
too large for it ends as that job's failed result; else that team alone waits, and somebody is told.
"""
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import lib  # noqa: E402
import broker  # noqa: E402

JOBS = 12
TEAMS = ("a", "b")


def vectors(custom_id, text):
    """A question with an answer of more than half a megabyte."""
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/embeddings",
            "body": {"model": "text-embedding-3-small", "input": [f"{text} {i}" for i in range(60)]}}


class World:
    """A broker with two teams, a scheduler and a worker; team a is the one in trouble."""

    def __init__(self, place, kafka, secure=False):
        self.place, self.kafka, self.secure, self.sim = place, kafka, secure, place.sim()
        users = ["--allow", "worker=worker", "--allow", "scheduler=scheduler"] if secure else []
        for team in TEAMS:
            lib.equal(f"team {team} has its topics",
                      self.run("topics", "create", "--team", team, "--feature", "tags", *users).code, 0)
            self.run("budget", "set", team, "--limit", "1000", "--per", "day")
        self.scheduler = self.daemon("scheduler")
        self.worker = None

    def env(self, user="admin"):
        env = self.place.environment(self.sim)
        env.pop("OFFPEAK_BROKERS", None)
        if self.secure:
            env["OFFPEAK_KAFKA_FILE"] = str(self.kafka.client(user))
            if user == "admin":  # librdkafka 2.0.2 cannot give permissions on transactional ids
                env["LD_LIBRARY_PATH"] = self.kafka.env(newest=True)["LD_LIBRARY_PATH"]
        else:
            env["OFFPEAK_BROKERS"] = self.kafka.address
        return env

    def run(self, *words):
        return self.place.offpeak(*words, env=self.env(), timeout=120)

    def daemon(self, role):
        command = [lib.options.offpeak, role, "--state", self.place.path(role)]
        if role == "worker":
            command += [word for key, value in lib.FAST.items() for word in ("--set", f"{key}={value}")]
        return lib.Running(self.place, command, self.env(role))

    def begin(self):
        self.worker = self.daemon("worker")

    def submit(self, team, run, made=None):
        path = self.place.write(f"{team}-{run}.jsonl", lib.lines_of(
            [(made or lib.job)(f"{run}-{i}", f"{team} {run} {i}?") for i in range(JOBS)]))
        lib.equal(f"team {team} submits '{run}'",
                  self.run("submit", path, "--team", team, "--feature", "tags", "--run", run).code, 0)

    def records(self, topic):
        user = {"user": "admin"} if self.secure else {}
        said = self.kafka.all_of(f"offpeak.{topic}", **user)
        return [json.loads(line) for line in said if line]

    def statuses(self, team, run):
        return lib.counts(r["offpeak"]["status"] for r in self.records(f"results.{team}")
                          if (r["custom_id"] or run).startswith(run))

    def all_ok(self, team, run, seconds=60):
        lib.wait_for(lambda: self.statuses(team, run).get("ok", 0) >= JOBS, every=0.5, seconds=seconds)
        lib.equal(f"all jobs of '{run}' of team {team} are answered", self.statuses(team, run), {"ok": JOBS})

    def told(self, words, seconds=30):
        """The worker says it, with the topic and a command."""
        found = lib.wait_for(lambda: [line for line in self.worker.stderr().splitlines() if words in line],
                             seconds=seconds)
        return lib.that(f"the worker says {words!r}, and what to run",
                        found and "offpeak.results.a" in found[0] and "run: offpeak topics" in found[0],
                        found[:1] if found else self.worker.stderr()[-300:])

    def end(self):
        lib.equal("no call was bought twice", self.sim.stats().get("requests_billed_twice", 0), 0)
        for daemon in (self.worker, self.scheduler):
            lib.that("it is still at work", daemon.alive(), daemon.stderr()[-300:])
            daemon.process.terminate()
        lib.equal("both end in order", [d.wait(60).code for d in (self.worker, self.scheduler)], [0, 0])


def alter(kafka, topic, **settings):
    sys.path.insert(0, broker.script("client-newest", "--python").splitlines()[-1])
    from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource  # pylint: disable=import-error
    resource = ConfigResource("topic", topic, incremental_configs=[
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()])
    admin = AdminClient({"bootstrap.servers": kafka.address})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


def remove(kafka, topic):
    sys.path.insert(0, broker.script("client-newest", "--python").splitlines()[-1])
    from confluent_kafka.admin import AdminClient  # pylint: disable=import-error
    admin = AdminClient({"bootstrap.servers": kafka.address})
    for future in admin.delete_topics([topic]).values():
        future.result(30)


def small(place, kafka):
    lib.part("small: the topic takes small records only")
    world = World(place, kafka)
    alter(kafka, "offpeak.results.a", **{"max.message.bytes": str(512 * 1024)})
    world.begin()
    for team in TEAMS:
        world.submit(team, f"{team}-short")
        world.submit(team, f"{team}-long", vectors)
    for team, run in (("a", "a-short"), ("b", "b-short"), ("b", "b-long")):
        world.all_ok(team, run)
    lib.wait_for(lambda: len(world.records("results.a")) >= 2 * JOBS, every=0.5)
    failed = [r for r in world.records("results.a") if r["offpeak"]["status"] == "failed"]
    lib.equal("an answer that is too large ends as a failed result", len(failed), JOBS)
    lib.that("with its reason and what it cost", all("too large" in r["error"]["message"] and
                                                     r["offpeak"]["cost_usd"] > 0 for r in failed))
    lib.equal("and a copy in the dead letters", len(world.records("dead.a")), JOBS)
    lib.equal("nothing was tried twice for it", world.worker.stderr().count("worker: at work"), 1)

    lib.part("... or next to nothing")
    alter(kafka, "offpeak.results.a", **{"max.message.bytes": "4500"})
    world.submit("a", "later")
    world.submit("b", "beside")
    world.all_ok("b", "beside")
    world.told("jobs of team 'a' wait")
    alter(kafka, "offpeak.results.a", **{"max.message.bytes": str(1024 * 1024)})
    world.all_ok("a", "later")
    world.end()


def deleted(place, kafka):
    lib.part("deleted: the topic is gone in mid-run")
    world = World(place, kafka)
    world.begin()
    world.submit("a", "before")
    world.all_ok("a", "before")
    remove(kafka, "offpeak.results.a")
    world.submit("a", "after")
    world.submit("b", "beside")
    world.all_ok("b", "beside")
    world.all_ok("a", "after")
    world.end()


def closed(place, kafka):
    lib.part("closed: the worker may not write there")
    world = World(place, kafka, secure=True)
    said = kafka.acl("list")
    kafka.acl("deny", "worker", "write", "topic", "offpeak.results.a")
    lib.that("a rule forbids it", kafka.acl("list") != said)
    world.begin()
    world.submit("a", "night")
    world.submit("b", "beside")
    world.all_ok("b", "beside")
    world.told("jobs of team 'a' wait")
    world.submit("b", "later")
    world.all_ok("b", "later")
    lib.equal("team a has no result yet", world.records("results.a"), [])
    lib.that("and nobody was thrown out for it", len(re.findall("worker: at work", world.worker.stderr())) <= 3,
             world.worker.stderr()[-600:])
    kafka.acl("remove", "worker", "topic", "offpeak.results.a")
    world.worker.process.terminate()
    world.worker.wait(60)
    world.begin()
    world.all_ok("a", "night")
    world.end()


def main():
    lib.start(__doc__)
    for one in (small, deleted, closed):
        if lib.wanted(one.__name__):
            with broker.Broker(secure=one is closed) as kafka, lib.Place() as place:
                one(place, kafka)
    lib.finish()


if __name__ == "__main__":
    main()
