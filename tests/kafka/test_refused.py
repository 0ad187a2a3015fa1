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

    def __init__(self, place, kafka, secure=False, settings=None):
        self.place, self.kafka, self.secure, self.sim = place, kafka, secure, place.sim()
        self.settings = {**lib.FAST, "pool.servers": self.sim.url, "pool.price": "free",
                         "pool.key_file": place.write("key", lib.KEY), **(settings or {})}
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
        command += [word for key, value in self.settings.items() for word in ("--set", f"{key}={value}")]
        return lib.Running(self.place, command, self.env(role))

    def begin(self):
        self.worker = self.daemon("worker")

    def submit(self, team, run, made=None, *words):
        path = self.place.write(f"{team}-{run}.jsonl", lib.lines_of(
            [(made or lib.job)(f"{run}-{i}", f"{team} {run} {i}?") for i in range(JOBS)]))
        lib.equal(f"team {team} submits '{run}'",
                  self.run("submit", path, "--team", team, "--feature", "tags", "--run", run, *words).code, 0)

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

    def told(self, words, topic="results.a", by=None, seconds=30):
        """The worker says it, with the topic and a command."""
        by = by or self.worker
        found = lib.wait_for(lambda: [line for line in by.stderr().splitlines()
                                      if words in line and f"'offpeak.{topic}'" in line], seconds=seconds)
        return lib.that(f"it says {words!r} of '{topic}', and what to run",
                        found and "run: offpeak topics" in found[0],
                        found[:1] if found else by.stderr()[-300:])

    def waits(self, team, run, seconds=1.5):
        """Nothing comes for a while."""
        lib.that(f"run '{run}' of team {team} waits",
                 not lib.wait_for(lambda: self.statuses(team, run), every=0.5, seconds=seconds))

    def undisturbed(self):
        """Nobody was thrown out for it."""
        for daemon in (self.worker, self.scheduler):
            lib.equal("it was at work all the time", daemon.stderr().count(": at work"), 1)
        kinds = lib.counts(r["kind"] for r in self.records("spend"))
        lib.that("no call is in doubt", not kinds.get("in_doubt"), kinds)

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


def forbid(kafka, user, topic):
    kafka.acl("deny", user, "write", "topic", f"offpeak.{topic}")


def permit(kafka, user, topic):
    kafka.acl("remove", user, "topic", f"offpeak.{topic}")


def closed(place, kafka):
    lib.part("closed: the worker may not write there")
    world = World(place, kafka, secure=True, settings={"kafka.refused_retry": "2s"})
    rules = kafka.acl("list")
    forbid(kafka, "worker", "results.a")
    lib.that("a rule forbids it", kafka.acl("list") != rules)
    world.begin()
    world.submit("a", "night")
    world.submit("b", "beside")
    world.all_ok("b", "beside")
    world.told("jobs of team 'a' wait")
    world.submit("b", "later")
    world.all_ok("b", "later")
    lib.equal("team a has no result yet", world.records("results.a"), [])
    permit(kafka, "worker", "results.a")
    world.all_ok("a", "night")
    world.undisturbed()

    lib.part("... nor its dead letters, where one is due")
    forbid(kafka, "worker", "dead.a")
    world.submit("a", "bad", lambda custom_id, text: lib.job(custom_id, text, model="no-such-model"))
    world.told("jobs of team 'a' wait", "dead.a")
    world.submit("b", "third")
    world.all_ok("b", "third")
    lib.equal("nothing of it is lost in between", world.statuses("a", "bad"), {})
    permit(kafka, "worker", "dead.a")
    lib.wait_for(lambda: len(world.records("dead.a")) >= JOBS, every=0.5)
    lib.equal("each of its jobs has a result", world.statuses("a", "bad"), {"rejected": JOBS})
    lib.equal("and a dead letter", len(world.records("dead.a")), JOBS)
    world.undisturbed()

    for lane in ("sync", "pool"):
        lib.part(f"... and nor do single calls, whose answers are in hand: lane {lane}")
        forbid(kafka, "worker", "results.a")
        for team in TEAMS:
            world.submit(team, f"{lane}-{team}", None, "--lane", lane)
        world.all_ok("b", f"{lane}-b")
        world.waits("a", f"{lane}-a")
        permit(kafka, "worker", "results.a")
        world.all_ok("a", f"{lane}-a")
    world.undisturbed()
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
