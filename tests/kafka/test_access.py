#!/usr/bin/env python3
"""Who may what, on a broker that lets nobody do what no rule allows: the rules that `offpeak topics
create --allow ROLE=USER` gives are enough for the daemons and for a team's own clients, and a team's
credentials reach nothing that is another team's. By password and by certificate.
"""
import json
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import lib  # noqa: E402
import broker  # noqa: E402
import test_daemons  # noqa: E402

JOBS = 20
SOON = ["-X", "message.timeout.ms=4000", "-X", "transaction.timeout.ms=4000"]
TEAMS = "ab"
WAYS = ((False, "a password"), (True, "a certificate"))


class World:
    def __init__(self, place, kafka):
        self.place, self.kafka, self.sim = place, kafka, place.sim()
        self.library = kafka.env(newest=True)["LD_LIBRARY_PATH"]  # it can give all permissions

    def env(self, user, mtls=False):
        return self.place.environment(self.sim, LD_LIBRARY_PATH=self.library,
                                      OFFPEAK_KAFKA_FILE=self.kafka.client(user, mtls))

    def admin(self, *words):
        done = self.place.offpeak(*words, env=self.env("admin"), timeout=300)
        lib.equal(f"admin: offpeak {' '.join(words)}", (done.code, done.err), (0, ""))

    def daemon(self, role, mtls=False):
        fast = lib.FAST if role == "worker" else {"results.keep": "1s", "retain": "1s"}
        words = [f"--set={key}={value}" for key, value in {**fast, "health.listen": "127.0.0.1:0"}.items()]
        return self.place.start(role, "--state", self.place.path(role), *words, env=self.env(role, mtls))

    def records(self, topic):
        return self.kafka.all_of(topic, user="admin")

    def count(self, topic):
        quick = ["-f", "%o\n", "-X", "fetch.wait.max.ms=20"]
        return len(self.kafka.all_of(topic, user="admin", more=quick))


def says(running, *words):
    return lib.wait_for(lambda: all(word in running.stderr() for word in words) or not running.alive(),
                        seconds=60) and all(word in running.stderr() for word in words)


def stop(running):
    running.signal(signal.SIGTERM)
    return running.wait(90).code


def lacking(world):
    """A worker that may nothing, and then one thing more each time."""
    lib.part("lacking: a worker says which permission is missing, and the command that gives it")
    command = "offpeak topics create --allow worker=User:worker"
    steps = (
        ("not allowed for this topic", "could not find topic 'offpeak.ready'",
         [("read", f"offpeak.{name}") for name in ("ready", "answers", "batches", "acks", "runs.*")]),
        ("not allowed for this topic", "could not write to topic 'offpeak.answers'",
         [("write", f"offpeak.{name}") for name in ("answers", "batches", "acks")]),
        ("not allowed for this topic", "topic 'offpeak.results.",
         [("write", f"offpeak.{name}") for name in ("results.*", "dead.*")]),
        ("not allowed for this topic", "topic 'offpeak.spend'", [("write", "offpeak.spend")]),
        ("not allowed to use this group", "group 'offpeak.worker'", []))
    worker = world.daemon("worker")
    for reason, name, rules in steps:
        lib.that(f"{name}: {reason}", says(worker, f"{name}", reason, command), worker.stderr())
        for operation, topic in rules:
            world.kafka.acl("allow", "worker", operation, "topic", topic)
    said = [line for line in worker.stderr().splitlines() if command in line]
    lib.that("each once, and it is not at work before it can be", len(said) == len(set(said))
             and "waiting for its share" not in worker.stderr(), worker.stderr())
    lib.equal("nor ready", test_daemons.probe(worker), (503, "starting"))
    lib.equal("nothing was written to find that out", [name for name in ("answers", "batches", "acks", "spend")
                                                       if world.count(f"offpeak.{name}")], [])
    world.kafka.acl("allow", "worker", "read", "group", "offpeak.worker")
    lib.that("not allowed to use this transactional id",
             says(worker, "as 'offpeak.worker-", "not allowed to use this transactional id"), worker.stderr())
    lib.equal("it waits, and ends when told to", stop(worker), 0)


def works(world):
    lib.part("works: daemons with users of their own answer what a team's client puts")
    world.admin("topics", "create", "--allow", "worker=worker", "--allow", "scheduler=scheduler")
    world.admin("topics", "create", "--team", "c", "--feature", "tags")
    world.kafka.put("offpeak.jobs.c.tags", "no line\n", user="admin", more=["-p", 0])
    world.kafka.put("offpeak.jobs.c.tags", lib.lines_of([lib.job("unpaid", "nobody pays for this")]), user="admin",
                    more=["-p", 1])
    world.kafka.put("offpeak.runs.a", 'tags/old:{"lines":0}\n', user="admin", more=["-K:"])
    for team in TEAMS:
        world.admin("budget", "set", team, "--limit", "10", "--per", "total")
    running = world.daemon("scheduler", mtls=True), world.daemon("worker")
    for one in running:
        lib.that("it gets to work", says(one, ": at work"), one.stderr())
    hint = "offpeak budget set c --limit USD --per day, with the kafka.file of an operator\n"
    lib.that("a command that needs an operator names no file of the scheduler's",
             says(running[0], f"c/tags: no limit is set for 'c/tags'; {hint}"), running[0].stderr())
    for mtls, how in WAYS:
        for team in TEAMS:
            asked = [lib.job(f"{how[2]}-{i}", f"{i} by {how} of {team}") for i in range(JOBS)]
            done = world.kafka.put(f"offpeak.jobs.{team}.tags", lib.lines_of(asked), user=f"team-{team}",
                                   mtls=mtls)
            lib.that(f"team {team} puts jobs with {how}", done.returncode == 0, last(done))
    lib.that("the scheduler may delete the row of an old run",
             lib.wait_for(lambda: world.count("offpeak.runs.a") == 2, every=0.5), running[0].stderr())
    lib.that("and a job that is done with, not the one that waits",
             lib.wait_for(lambda: world.count("offpeak.jobs.c.tags") == 1, every=0.5), running[0].stderr())
    wanted = len(WAYS) * JOBS
    for team in TEAMS:
        topic = f"offpeak.results.{team}"
        lib.wait_for(lambda: world.count(topic) >= wanted, every=0.5)
        for mtls, how in WAYS:
            got = group(world, team, topic, f"offpeak.{team}.{how[2]}", mtls, wanted)
            lib.equal(f"team {team} reads its results with {how}, in a group of its own",
                      len({json.loads(line)["custom_id"] for line in got}), wanted)
    return running


def group(world, team, topic, name, mtls, count):
    done = world.kafka.kcat("-q", "-c", count, "-X", "auto.offset.reset=earliest", "-G", name, topic,
                            user=f"team-{team}", mtls=mtls)
    return done.stdout.splitlines()


def denied(world):
    lib.part("denied: what team a's credentials do not reach")
    topics = ["jobs.b.tags", "runs.b", "results.b", "dead.b", "results.a", "dead.a", "spend", "ready", "answers",
              "batches", "acks", "budgets", "ledger", "open", "marks"]
    before = {name: world.count(f"offpeak.{name}") for name in topics}
    lib.that("there is something to see", before["results.b"] and before["spend"], before)
    for mtls, how in WAYS:
        for name in topics:
            done = world.kafka.put(f"offpeak.{name}", "stranger:{}\n", user="team-a", mtls=mtls,
                                   more=["-K:", *SOON])
            lib.that(f"it cannot write {name} with {how}", done.returncode != 0, last(done))
        for name in ("jobs.b.tags", "results.b", "dead.b", "runs.b", "spend", "ready", "answers", "batches"):
            done = world.kafka.kcat("-C", "-e", "-o", "beginning", "-t", f"offpeak.{name}", user="team-a", mtls=mtls)
            lib.that(f"nor read {name}", not done.stdout and "authorization" in done.stderr.lower(), last(done))
        for name in ("offpeak.worker-1", "offpeak.scheduler"):
            done = world.kafka.put("offpeak.jobs.a.tags", "{}\n", user="team-a", mtls=mtls,
                                   more=["-X", f"transactional.id={name}", *SOON])
            lib.that(f"nor be {name}", done.returncode != 0, last(done))
        for name in ("offpeak.worker", "offpeak.scheduler", "offpeak.b.app", "offpeak.bi.app"):
            done = world.kafka.kcat("-q", "-c1", "-G", name, "offpeak.results.a", user="team-a", mtls=mtls)
            lib.that(f"nor read as group {name}", done.returncode != 0 and "group" in done.stderr.lower(), last(done))
    after = {name: world.count(f"offpeak.{name}") for name in topics}
    lib.equal("nothing has changed there", [name for name in topics if before[name] != after[name]], [])
    listed = world.kafka.kcat("-L", "-J", user="team-a").stdout
    lib.equal("what it sees is its own", [t["topic"] for t in json.loads(listed)["topics"]
                                          if ".b" in t["topic"]], [])


def last(done):
    return (done.stderr.strip().splitlines() or [""])[-1]


def withdrawn(world, role, by, topic, custom_id):
    """It waits, in words, and goes on by itself: nothing of it is bought again or lost."""
    world.kafka.acl("deny", role, "write", "topic", f"offpeak.{topic}")
    world.kafka.put("offpeak.jobs.a.tags", lib.lines_of([lib.job(custom_id, f"a {custom_id} question")]), user="team-a")
    lib.that(f"the {role} says that it may not write '{topic}', and who can change it",
             says(by, f"'offpeak.{topic}'", "not allowed for this topic",
                  f"offpeak topics create --allow {role}=User:"), by.stderr()[-900:])
    late = lambda: [line for line in world.records("offpeak.results.a") if f'"{custom_id}"' in line]  # noqa: E731
    lib.equal("the job waits", late(), [])
    lib.equal("and /readyz says that it cannot work", test_daemons.probe(by), (503, "cut off"))
    world.kafka.acl("remove", role, "topic", f"offpeak.{topic}")
    world.admin("topics", "create", "--allow", f"{role}={role}")
    lib.that("with the permission it is answered", lib.wait_for(late, every=0.5), by.stderr()[-900:])
    lib.equal("once", len(late()), 1)
    lib.that("and it can work again", lib.wait_for(lambda: test_daemons.probe(by)[0] == 200, seconds=10))


def commits(world, running):
    """What all share: who may not write it waits, and everybody with it."""
    lib.part("withdrawn: a permission that a worker at work, or a scheduler, has no more")
    began = [one.stderr().count("at work") for one in running]
    withdrawn(world, "worker", running[1], "spend", "late")
    withdrawn(world, "worker", running[1], "answers", "later")
    withdrawn(world, "scheduler", running[0], "ready", "latest")
    lib.equal("nobody was thrown out for it", [one.stderr().count("at work") for one in running], began)
    lib.equal("and nothing was bought twice", world.sim.invoice()["requests_billed_twice"], 0)
    for one in (running[1], running[0]):
        lib.equal("it ends when told to", stop(one), 0)


def main():
    lib.start(__doc__)
    with broker.Broker(secure=True) as kafka, lib.Place() as place:
        world = World(place, kafka)
        for team in TEAMS:
            world.admin("topics", "create", "--team", team, "--feature", "tags", "--allow",
                        f"producer=team-{team}", "--allow", f"reader=team-{team}")
        lacking(world)
        running = works(world)
        denied(world)
        commits(world, running)
    lib.finish()


if __name__ == "__main__":
    main()
