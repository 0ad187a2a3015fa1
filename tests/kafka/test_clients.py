#!/usr/bin/env python3
"""Programs that nobody here wrote the client of: kcat, Python and Node put jobs on queues and read
the results, and reports read `spend`, while a worker is killed and started again (SIGKILL).

The programs are those of examples/clients/, as they stand in docs/KAFKA.md.
"""
import json
import pathlib
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import lib  # noqa: E402
import broker  # noqa: E402

CLIENTS = lib.ROOT / "examples/clients"
NODE = lib.ROOT / "build-dev/sdk/node"  # scripts/sdk
JOBS = 150
REPEATED = 25  # of them ask what an earlier one has asked
LINES_MAX = 24


def jobs(place, team):
    asked = [lib.job(f"{team}-{i}", f"question {i % (JOBS - REPEATED)} of {team}") for i in range(JOBS)]
    return asked, place.write(f"{team}.jsonl", lib.lines_of(asked))


class World:
    """A broker, a provider that holds its batches, a scheduler and a worker."""

    def __init__(self, place, kafka):
        self.place, self.kafka, self.sim = place, kafka, place.sim(hold=True)
        self.python = broker.script("client-newest", "--python").splitlines()[-1]
        for team in ("shell", "python", "node"):
            self.command("topics", "create", "--team", team, "--feature", "tags")
            self.command("budget", "set", team, "--limit", "100", "--per", "total")
        self.scheduler, self.worker = self.daemon("scheduler"), self.daemon("worker")

    def env(self, **more):
        return self.place.environment(self.sim, OFFPEAK_BROKERS=self.kafka.address, PYTHONPATH=self.python,
                                      **more)

    def command(self, *words):
        done = self.place.offpeak(*words, env=self.env(), timeout=300)
        if done.code:
            raise RuntimeError(f"{done!r}")

    def daemon(self, role):
        words = [f"--set={key}={value}" for key, value in lib.FAST.items()] if role == "worker" else []
        return self.place.start(role, "--state", self.place.path(role), *words, env=self.env())

    def client(self, *command):
        return lib.Running(self.place, command, self.env())

    def crash(self):
        """The worker is killed and started again, as its service manager would do."""
        self.worker.signal(signal.SIGKILL)
        self.worker.wait(dies=True)
        self.worker = self.daemon("worker")

    def results(self, team):
        return [json.loads(line) for line in self.kafka.all_of(f"offpeak.results.{team}")]

    def spend(self):
        """What the example prints that reads what has come since it was last run."""
        done = subprocess.run([sys.executable, CLIENTS / "spend.py"], env=self.env(), check=False,
                              capture_output=True, encoding="utf-8", timeout=120)
        if done.returncode:
            lib.that("spend.py reads to the end", False, done.stderr)
        return [lib.loads(line) for line in done.stdout.splitlines()]


def start_clients(world):
    """{team: (its jobs, its program under way)}"""
    script = NODE / "client.mjs"  # node looks for packages beside the script
    shutil.copy(CLIENTS / "client.mjs", script)
    commands = {"shell": ["sh", CLIENTS / "kcat.sh"], "python": [sys.executable, CLIENTS / "client.py"],
                "node": [NODE / "node", script]}
    started = {}
    for team, command in commands.items():
        asked, path = jobs(world.place, team)
        started[team] = asked, world.client(*command, team, "tags", path)
    return started


def answered(world, team, asked, ended):
    lib.equal(f"{team}: the program ends", (ended.code, ended.err), (0, ""))
    got = [json.loads(line) for line in ended.out.splitlines()]
    digests = {one["custom_id"]: lib.digest_of(one) for one in asked}
    lib.that("it prints a result for each line", sorted(r["custom_id"] for r in got) == sorted(digests), len(got))
    lib.equal("the answer to that very line", [r["custom_id"] for r in got
                                               if lib.digest_in(r) != digests[r["custom_id"]]], [])
    there = world.results(team)
    lib.that("no other is in the topic", sorted(r["custom_id"] for r in there) == sorted(digests), len(there))


def spent(world, reports, follower):
    printed = [record for report in reports for record in report]
    lib.equal("spend.py, run now and then: each record once", len({r["event_id"] for r in printed}), len(printed))
    lib.equal("a record for each job", lib.counts(r["team"] for r in printed),
              {team: JOBS for team in ("node", "python", "shell")})
    lib.equal("it starts where it stopped: nothing new is nothing", world.spend(), [])
    lib.equal("they add up to the invoice", sum(r["cost"] for r in printed), world.sim.billed())
    lib.wait_for(lambda: len(follower.stdout().splitlines()) >= len(printed))
    seen = [json.loads(line)["event_id"] for line in follower.stdout().splitlines()]
    lib.that("kcat, reading all along: each once", sorted(seen) == sorted(r["event_id"] for r in printed),
             len(seen))


def together():
    lib.part("together: kcat, Python and Node, and a worker that dies twice")
    with broker.Broker() as kafka, lib.Place() as place:
        world = World(place, kafka)
        follower = world.client("kcat", "-b", kafka.address, "-C", "-q", "-u", "-o", "beginning", "-X",
                                "isolation.level=read_committed", "-t", "offpeak.spend")
        clients = start_clients(world)
        reports = [world.spend()]
        bought = len(clients) * (JOBS - REPEATED)
        lib.that("all that is to be bought is at the provider",
                 lib.wait_for(lambda: world.sim.stats()["lines"] >= bought), world.sim.stats()["lines"])
        world.crash()
        world.sim.go()
        lib.that("the worker that was killed and started again goes on",
                 lib.wait_for(lambda: follower.stdout() or not world.worker.alive()), world.worker.stderr())
        world.crash()
        reports.append(world.spend())
        print(f"     killed again after {len(reports[-1])} of {len(clients) * JOBS} spend records")
        for team, (asked, program) in clients.items():
            answered(world, team, asked, program.wait(150))
        reports.append(world.spend())
        lib.equal("nothing is bought twice", world.sim.invoice()["requests_billed_twice"], 0)
        spent(world, reports, follower)


def pages():
    lib.part("pages: the programs are short, and those of docs/KAFKA.md")
    page = (lib.ROOT / "docs/KAFKA.md").read_text()
    for path in sorted(CLIENTS.iterdir()):
        text = path.read_text()
        lib.that(f"{path.name} has {LINES_MAX} lines at most", len(text.splitlines()) <= LINES_MAX)
        lib.that("the page shows it as it is", f"\n{text}```\n" in page)


def main():
    lib.start(__doc__)
    for one in (pages, together):
        if lib.wanted(one.__name__):
            one()
    lib.finish()


if __name__ == "__main__":
    main()
