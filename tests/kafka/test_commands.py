#!/usr/bin/env python3
"""Commands on a real broker instead of a data folder: what one machine submits another sees, `results
--wait` ends when all results are there, and a team's credentials reach what is the team's and no more.

Where no daemons are started results are copied from a run in a data folder, record by record.
"""
import json
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import lib  # noqa: E402
import broker  # noqa: E402

JOBS = 7


class Machine:
    """One that knows the broker, as one of its users or as anybody."""

    def __init__(self, place, kafka, name, user=None):
        self.home = place.path(f"machine-{name}")
        self.home.mkdir()
        self.env = kafka.env(HOME=str(self.home), XDG_STATE_HOME=str(self.home / "state"),
                             OFFPEAK_CONFIG="/dev/null", OPENAI_API_KEY="")
        if user:
            del self.env["OFFPEAK_BROKERS"]
            self.env["OFFPEAK_KAFKA_FILE"] = str(kafka.client(user))

    def start(self, *words):
        return lib.spawn([lib.options.offpeak, *words], env=self.env, cwd=self.home, encoding="utf-8",
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *words):
        process = self.start(*words)
        out, err = process.communicate(timeout=120)
        return lib.Ended(words, process.returncode, out, err, 0)

    def left(self):
        """What commands have left in the folder that held their copies."""
        return [path.name for path in (self.home / "state/offpeak").glob("*")]


def jobs(place, name):
    path = place.path(f"{name}.jsonl")
    path.write_text("".join(json.dumps({
        "custom_id": f"{name}-{i}", "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o-mini", "max_tokens": 5,
                 "messages": [{"role": "user", "content": f"question {i} of {name}"}]}}) + "\n"
        for i in range(JOBS)))
    return path


def answers(place, path, team):
    """The result records that a run in a data folder gave."""
    done = place.run(place.sim(), path, "--run", "night", "--team", team, "--feature", "tags",
                     "-o", place.path(f"{team}-folder.jsonl"))
    lib.equal("a run in a data folder", done.code, 0)
    said = place.offpeak("cat", f"results.{team}", "--data", place.path("data"))
    return [json.loads(line) for line in said.out.splitlines()]


def copy(kafka, record, topic):
    headers = [word for pair in record["headers"].items() for word in ("-H", "=".join(pair))]
    kafka.put(topic, json.dumps(record["value"]) + "\n", more=["-k", record["key"], *headers])


def together():
    lib.part("together: one submits, another looks")
    with broker.Broker() as kafka, lib.Place() as place:
        one, two = Machine(place, kafka, "one"), Machine(place, kafka, "two")
        path = jobs(place, "night")
        words = ["--team", "search", "--feature", "tags"]
        done = one.run("submit", str(path), *words, "--run", "night")
        lib.equal("submit makes the topics of its queue", (done.code, done.err.count("queued")), (0, 1))
        lib.that("and says what comes next", "offpeak results --run night -o OUT --wait" in done.err, done.err)
        put = kafka.kcat("-C", "-q", "-e", "-t", "offpeak.jobs.search.tags", "-f", "%p %h %s\n").stdout
        lib.equal("every line is there", put.count('"custom_id"'), JOBS)
        lib.equal("over all partitions", sorted({line[0] for line in put.splitlines()}), ["0", "1", "2"])
        again = one.run("submit", str(path), *words, "--run", "night")
        lib.equal("the same command again adds nothing", (again.code, len(kafka.all_of("offpeak.jobs.search.tags"))),
                  (0, JOBS))

        done = two.run("results", "--run", "night", "-o", "early.jsonl")
        lib.that("another machine sees the run", "7 of its jobs have none yet" in done.err, done.err)
        lib.equal("an unknown run is exit code 2", two.run("results", "--run", "no", "-o", "no.jsonl").code, 2)
        done = two.run("explain", "night-3")
        lib.that("explain knows a job by its custom_id, and what it waits for",
                 done.code == 0 and "waits in its queue: no limit is set for 'search/tags'" in done.out, done)
        lib.equal("what run watches can be asked", json.loads(two.run("watch", "--json").out)["runs"][0]["jobs"], JOBS)
        lib.equal("a limit is set here", one.run("budget", "set", "search", "--limit", "25", "--per", "day").code, 0)
        lib.that("and shown there", "$25.00" in two.run("budget", "show").out)
        lib.equal("spend adds up nothing yet", json.loads(two.run("spend", "--json").out)["jobs"], JOBS)
        lib.that("cat shows the lines", two.run("cat", "jobs.search.tags").out.count('"run":"night"') == JOBS)
        wait(kafka, place, two, path)

        done = one.run("cancel", "--run", "night")
        lib.equal("a run that is over is not cancelled", (done.code, "is over" in done.err), (0, True))
        done = one.run("run")
        lib.equal("there is nothing to run without a file", (done.code, "offpeak watch" in done.err), (2, True))
        done = one.run("run", str(path), "--key-file", "key")
        lib.equal("the key is the workers'", (done.code, "offpeak worker --key-file key" in done.err), (2, True))
        done = one.run("run", str(path), "--dry-run", "--set", "batch.poll=1m")
        lib.that("what it would cost is said without their answers", done.code == 0 and "not looked at" in done.out
                 and "--set batch.poll=1m changes nothing here" in done.err, done)
        lib.equal("no copy is left behind", one.left() + two.left(), [])


def wait(kafka, place, machine, path):
    words = ["run", str(path), "--team", "search", "--feature", "tags", "--run", "night"]
    waiting = machine.start("results", "--run", "night", "-o", "out.jsonl", "--wait")
    run, other = (machine.start(*words, "-o", out) for out in ("run.jsonl", "-"))
    records = answers(place, path, "search")
    for record in records[:3]:
        copy(kafka, record, "offpeak.results.search")
    lib.that("some results are not all: it waits", waiting.poll() is None and other.poll() is None)
    said = other.stderr.readline() + other.stderr.readline() + other.stderr.readline()
    lib.that("run says what it waits for, and how to start it", "waits: no scheduler, no worker at work; start with "
             f"offpeak scheduler --brokers {kafka.address} and offpeak worker --brokers" in said, said)
    other.send_signal(signal.SIGINT)
    out, said = other.communicate(timeout=60)
    lib.that("Ctrl-C ends it, and the same command continues", other.returncode == 130
             and "scheduler and workers go on with run 'night'" in said and "same command continues" in said, said)
    lib.equal("what was there it has written", len(out.splitlines()), 3)
    kafka.kill()
    time.sleep(7)
    kafka.up()
    for record in records[3:]:
        copy(kafka, record, "offpeak.results.search")
    lib.equal("with the last it ends, also when the broker was away", waiting.wait(60), 0)
    got = (machine.home / "out.jsonl").read_text().splitlines()
    lib.equal("all of them are written", sorted(json.loads(line)["custom_id"] for line in got),
              [f"night-{i}" for i in range(JOBS)])
    lib.equal("so does run", run.wait(60), 0)
    lib.equal("with all of them", len((machine.home / "run.jsonl").read_text().splitlines()), JOBS)
    said = [process.communicate()[1] for process in (waiting, run)]
    lib.that("results --wait said what it waited for, too", "waits: no scheduler, no worker at work" in said[0]
             and "asking again for 10 min" in said[0] and "the broker answers again" in said[0], said[0])


def secure():
    lib.part("secure: a team reaches what is its own")
    with broker.Broker(secure=True) as kafka, lib.Place() as place:
        a, b = (Machine(place, kafka, team, f"team-{team}") for team in "ab")
        admin = Machine(place, kafka, "admin", "admin")
        path = jobs(place, "night")
        submit = ["submit", str(path), "--feature", "tags", "--run", "night", "--team"]
        done = a.run(*submit, "a")
        lib.that("who may not make topics is told who can",
                 done.code in (1, 4) and "offpeak topics create --team a --feature tags" in done.err, done.err)
        for team in "ab":
            admin.run("topics", "create", "--team", team, "--feature", "tags",
                      "--allow", f"producer=team-{team}", "--allow", f"reader=team-{team}")
        done = a.run(*submit, "a")
        lib.equal("with them team-a submits", done.code, 0)
        lib.equal("its jobs are there", len(kafka.all_of("offpeak.jobs.a.tags", user="admin")), JOBS)
        lib.equal("it sees its run", a.run("results", "--run", "night", "-o", "out.jsonl").code, 0)

        done = a.run(*submit, "b")
        lib.that("for team-b it submits nothing", done.code in (1, 4), done.err)
        lib.equal("nothing is there", kafka.all_of("offpeak.jobs.b.tags", user="admin"), [])
        lib.equal("team-b submits", b.run(*submit, "b").code, 0)
        done = a.run("results", "--run", "night", "--team", "b", "-o", "b.jsonl")
        lib.that("team-a does not see team-b's run", done.code != 0, done.err)
        done = a.run("results", "--run", "night", "-o", "a.jsonl")
        lib.equal("its own of the same name is not ambiguous", done.code, 0)
        done = admin.run("results", "--run", "night", "-o", "x.jsonl")
        lib.equal("who may read both is asked which", (done.code, "--team a --feature tags" in done.err), (2, True))
        done = a.run("budget", "set", "a", "--limit", "1000", "--per", "day")
        lib.that("a team does not set its own budget", done.code in (1, 4), done.err)
        lib.equal("nor is a copy left behind", a.left() + b.left() + admin.left(), [])


def least():
    lib.part("least: with the permissions that --allow gives, and no others, jobs get their results")
    with broker.Broker(secure=True) as kafka, lib.Place() as place:
        sim = place.sim()
        a = Machine(place, kafka, "a", "team-a")
        admin = Machine(place, kafka, "admin", "admin")
        # librdkafka 2.0.2 cannot give permissions on transactional ids
        admin.env["LD_LIBRARY_PATH"] = kafka.env(newest=True)["LD_LIBRARY_PATH"]
        allow = [word for who in ("producer=team-a", "reader=team-a", "worker=worker", "scheduler=scheduler")
                 for word in ("--allow", who)]
        lib.equal("topics and permissions are made",
                  admin.run("topics", "create", "--team", "a", "--feature", "tags", *allow).code, 0)
        lib.equal("a limit is set", admin.run("budget", "set", "a", "--limit", "25", "--per", "day").code, 0)
        daemons = []
        for user in ("scheduler", "worker"):
            machine = Machine(place, kafka, user, user)
            machine.env.update(OPENAI_API_KEY=lib.KEY, OPENAI_BASE_URL=sim.url, OFFPEAK_BATCH_POLL="50ms",
                               OFFPEAK_BATCH_LINGER="50ms")
            daemons.append(machine.start(user))
        a.env["OPENAI_BASE_URL"] = sim.url
        done = a.run("run", str(jobs(place, "night")), "--team", "a", "--feature", "tags", "-o", "out.jsonl", "--json")
        lib.equal("team-a gets its results", (done.code, len((a.home / "out.jsonl").read_text().splitlines())),
                  (0, JOBS))
        said = json.loads(done.out)
        lib.that("what they cost it may not see, and is not told 0", (said["ok"], said["cost_usd"]) == (JOBS, None)
                 and "is not for this user to see" in done.err, done)
        done = a.run("watch", "--json")
        lib.equal("it watches its run", (done.code, json.loads(done.out)["runs"][0]["state"]), (0, "over"))
        for daemon in daemons:
            daemon.terminate()
        lib.equal("the daemons end in order", [daemon.communicate(timeout=60) and daemon.returncode
                                               for daemon in daemons], [0, 0])


def main():
    lib.start(__doc__)
    for one in (together, secure, least):
        if lib.wanted(one.__name__):
            one()
    lib.finish()


if __name__ == "__main__":
    main()
