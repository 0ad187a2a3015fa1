#!/usr/bin/env python3
"""`offpeak worker` and `offpeak scheduler`: what a service manager, a probe and a person with a
terminal see of them, from start to end, on a real broker.
"""
import json
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import lib  # noqa: E402
import broker  # noqa: E402

EXAMPLE = lib.ROOT / "examples/products.jsonl"


class Manager:
    """The end of a service manager: what a daemon says to NOTIFY_SOCKET."""

    def __init__(self, place):
        self.path = place.path(f"notify-{place.count()}")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.lines = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            self.lines += self.socket.recv(4096).decode().splitlines()

    def heard(self, line):
        return lib.wait_for(lambda: line in self.lines, seconds=30)


def daemon(place, kafka, sim, role, *words, **more):
    env = place.environment(sim, **more)
    env["OFFPEAK_BROKERS"] = kafka.address
    command = [lib.options.offpeak, role, "--set", "health.listen=127.0.0.1:0", *words]
    if role == "worker":
        for key, value in lib.FAST.items():
            command += ["--set", f"{key}={value}"]
    return lib.Running(place, command, env)


def probe(running, path="/readyz"):
    """Status and state, as a probe sees them; (None, None) while nothing listens."""
    words = running.stderr().split("readyz at port ")
    if len(words) < 2:
        return None, None
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{words[1].split()[0]}{path}", timeout=10) as reply:
            return reply.status, json.load(reply).get("state")
    except urllib.error.HTTPError as error:
        return error.code, json.load(error).get("state")
    except OSError:
        return None, None


def becomes(running, state):
    return lib.wait_for(lambda: probe(running)[1] == state or not running.alive())  \
        and probe(running) == (200, state)


def command(place, kafka, *words):
    env = place.environment()
    env["OFFPEAK_BROKERS"] = kafka.address
    return subprocess.run([lib.options.offpeak, *words], env=env, check=True, capture_output=True,
                          encoding="utf-8", timeout=120).stdout


def ask(place, kafka, sim, *words):
    """A command of somebody whose configuration has where requests go, and no key."""
    env = place.environment(sim, "")
    env["OFFPEAK_BROKERS"] = kafka.address
    return lib.Running(place, [lib.options.offpeak, *words], env)


def topics(place, kafka):
    command(place, kafka, "topics", "create", "--team", "shop", "--feature", "tags")


def budget(place, kafka):
    command(place, kafka, "budget", "set", "shop", "--limit", "100", "--per", "day")


def work(place, kafka):
    lib.part("work: started, watched, told to end")
    topics(place, kafka)
    budget(place, kafka)
    sim, manager = place.sim(), Manager(place)
    scheduler = daemon(place, kafka, sim, "scheduler", "--state", place.path("s1"))
    worker = daemon(place, kafka, sim, "worker", "--state", place.path("w1"),
                    NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="2000000")
    lib.that("the scheduler gets to work", becomes(scheduler, "at work"), scheduler.stderr())
    lib.that("the worker gets to work", becomes(worker, "at work"), worker.stderr())
    lib.that("its service manager hears that it is ready", manager.heard("READY=1"))
    lib.that("and that it is alive, again and again", manager.heard("WATCHDOG=1"))
    lib.equal("/healthz is well", probe(worker, "/healthz")[0], 200)
    lib.equal("any other page is not there", probe(worker, "/metrics")[0], 404)

    standby = daemon(place, kafka, sim, "scheduler", "--state", place.path("s2"))
    lib.that("a second scheduler stands by, and is ready to", becomes(standby, "standby"), standby.stderr())
    scheduler.signal(signal.SIGTERM)
    lib.equal("SIGTERM ends the first", scheduler.wait().code, 0)
    lib.that("the second takes over", becomes(standby, "at work"), standby.stderr())

    jobs = EXAMPLE.read_text().splitlines()
    kafka.put("offpeak.jobs.shop.tags", "".join(line + "\n" for line in jobs))
    count = lambda: len(kafka.all_of("offpeak.results.shop"))  # noqa: E731
    lib.wait_for(lambda: count() >= len(jobs), every=1)
    lib.equal("what any client puts on a queue is answered", count(), len(jobs))

    lib.that("a limit that was set before them both of them know",
             "no limit" not in scheduler.stderr() + standby.stderr())
    worker.signal(signal.SIGTERM)
    lib.equal("SIGTERM ends the worker", worker.wait().code, 0)
    lib.that("its service manager hears that too", manager.heard("STOPPING=1"), manager.lines[-4:])
    standby.signal(signal.SIGINT)
    lib.equal("Ctrl-C ends the scheduler", standby.wait().code, 0)


def limits(place, kafka):
    lib.part("limits: a queue waits until it has one")
    topics(place, kafka)
    sim = place.sim()
    scheduler, worker = daemon(place, kafka, sim, "scheduler"), daemon(place, kafka, sim, "worker")
    lib.that("both get to work", becomes(scheduler, "at work") and becomes(worker, "at work"),
             scheduler.stderr() + worker.stderr())
    jobs = EXAMPLE.read_text().splitlines()
    kafka.put("offpeak.jobs.shop.tags", "".join(line + "\n" for line in jobs))
    said = "shop/tags: no limit is set for 'shop/tags'; offpeak budget set shop --limit USD --per day " \
           f"--brokers {kafka.address}\n"
    lib.that("it says what it waits for, and which command opens it",
             lib.wait_for(lambda: said in scheduler.stderr()), scheduler.stderr())
    lib.equal("once", scheduler.stderr().count("no limit is set"), 1)
    lib.equal("so does `budget show`",
              json.loads(command(place, kafka, "budget", "show", "--json"))["waiting_for_limit"], ["shop/tags"])
    lib.equal("nothing is let through", kafka.all_of("offpeak.ready"), [])
    seen = json.loads(ask(place, kafka, sim, "watch", "--json").wait().out)
    lib.equal("`watch` sees who is at work", (seen["schedulers"], seen["workers"]), (1, 1))
    lib.equal("and what waits for which command", [(w["queue"], w["closed"], w["hint"]) for w in seen["waits"]],
              [("shop/tags", True, f"offpeak budget set shop --limit USD --per day --brokers {kafka.address}")])
    command(place, kafka, "budget", "pause", "shop", "--why", "look first")
    again = ["run", EXAMPLE, "--team", "shop", "--feature", "tags"]
    done = ask(place, kafka, sim, *again, "--run", "paused").wait()
    lib.that("`run` ends at a closed gate, and names the command", done.code == 8
             and "the rest waits: 'shop' is paused by" in done.err
             and f"offpeak budget resume shop --brokers {kafka.address}" in done.err, done)
    command(place, kafka, "budget", "resume", "shop")
    budget(place, kafka)
    count = lambda: len(kafka.all_of("offpeak.results.shop"))  # noqa: E731
    done = ask(place, kafka, sim, *again, "--run", "paused", "-o", place.path("out.jsonl")).wait()
    lib.equal("with a limit the same command gets its results", (done.code, len(place.path("out.jsonl").read_text()
                                                                                .splitlines())), (0, len(jobs)))
    lib.equal("what two ask for is bought once", sim.invoice()["requests_billed_twice"], 0)
    lib.equal("all is answered", count(), 2 * len(jobs))
    lib.that("it says that the queue is open", "shop/tags: the gate is open again" in scheduler.stderr(),
             scheduler.stderr())
    lib.equal("the limit is all that `budget show` has to say",
              json.loads(command(place, kafka, "budget", "show", "--json"))["waiting_for_limit"], [])
    for running in (scheduler, worker):
        running.signal(signal.SIGTERM)
        lib.equal("SIGTERM ends it", running.wait().code, 0)


def default(place, kafka):
    lib.part("default: a limit for all teams without one")
    topics(place, kafka)
    sim, config = place.sim(), place.write("config.yaml", "")
    scheduler = daemon(place, kafka, sim, "scheduler", "--config", config)
    lib.that("a scheduler is at work", becomes(scheduler, "at work"), scheduler.stderr())
    jobs = EXAMPLE.read_text().splitlines()
    kafka.put("offpeak.jobs.shop.tags", "".join(line + "\n" for line in jobs))
    lib.that("the queue waits for a limit",
             lib.wait_for(lambda: "no limit is set for 'shop/tags'" in scheduler.stderr()), scheduler.stderr())
    config.write_text("budget: {default: 25/day}\n")
    scheduler.signal(signal.SIGHUP)
    lib.that("budget.default and SIGHUP open it",
             lib.wait_for(lambda: len(kafka.all_of("offpeak.ready")) >= len(jobs), every=1), scheduler.stderr())
    shown = json.loads(command(place, kafka, "budget", "show", "--json", "--config", str(config)))["budgets"]
    lib.equal("`budget show` shows the limit as the team's, by default",
              [(line["scope"], line["per"], line["limit_usd"]) for line in shown if line["default"]],
              [("shop", "day", 25)])
    lib.that("and what is reserved under it", shown[0]["reserved_usd"] > 0, shown)
    scheduler.signal(signal.SIGTERM)
    lib.equal("SIGTERM ends it", scheduler.wait().code, 0)


def reload(place, kafka):
    lib.part("reload: SIGHUP loads the configuration again")
    topics(place, kafka)
    sim, manager = place.sim(), Manager(place)
    config = place.write("config.yaml", "batch: {linger: 50ms}\n")
    worker = daemon(place, kafka, sim, "worker", "--config", config, NOTIFY_SOCKET=str(manager.path))
    lib.that("a worker is at work", becomes(worker, "at work"), worker.stderr())
    beside = ask(place, kafka, sim, "import", EXAMPLE, EXAMPLE)
    config.write_text("batch: {linger: 60ms}\n")
    worker.signal(signal.SIGHUP)
    lib.that("it says that it has loaded it",
             lib.wait_for(lambda: "configuration loaded again" in worker.stderr()), worker.stderr())
    lib.that("its service manager hears of it", manager.heard("RELOADING=1"))
    lib.that("and it is at work again", becomes(worker, "at work"))
    config.write_text("batch: {linger: soon}\n")
    worker.signal(signal.SIGHUP)
    lib.that("what cannot be loaded is told, with the reason", lib.wait_for(
        lambda: "the configuration stays as it was: could not" in worker.stderr()), worker.stderr())
    lib.that("and it goes on as before", becomes(worker, "at work"))
    done = beside.wait()
    lib.that("nobody imports answers beside it", done.code == 5 and "1 worker" in done.err
             and "stop all workers" in done.err, done)
    lib.equal("nor was it disturbed", worker.stderr().count(": at work"), 3)
    worker.signal(signal.SIGTERM)
    lib.equal("SIGTERM ends it", worker.wait().code, 0)


def folders(place, kafka):
    lib.part("folders: kept where one was named, else its own")
    topics(place, kafka)
    sim = place.sim()
    own = lambda: sorted(p.name for p in place.path("state/offpeak").glob("worker-*"))  # noqa: E731
    worker = daemon(place, kafka, sim, "worker")
    lib.that("without --state a worker works too", becomes(worker, "at work"), worker.stderr())
    lib.equal("in a folder of its own", len(own()), 1)
    worker.signal(signal.SIGKILL)
    worker.wait(dies=True)
    left = own()
    worker = daemon(place, kafka, sim, "worker")
    becomes(worker, "at work")
    lib.that("what a killed one left, the next removes", len(own()) == 1 and own() != left, own())
    worker.signal(signal.SIGTERM)
    worker.wait()
    lib.equal("and its own at its end", own(), [])

    jobs = place.write("bought.jsonl", lib.lines_of([lib.job(f"b-{i}", f"{i}?") for i in range(4)]))
    place.run(sim, jobs, "-o", place.path("bought-out.jsonl"))
    done = ask(place, kafka, sim, "import", jobs, place.path("bought-out.jsonl"), "--team", "shop").wait()
    lib.that("with no worker at work answers from elsewhere are imported",
             done.code == 0 and "4 of 4 answers stored for team 'shop'" in done.err, done)
    lib.equal("they stand there", len(kafka.all_of("offpeak.answers")), 4)

    names = []
    for _ in range(2):
        worker = daemon(place, kafka, sim, "worker", "--state", place.path("kept"))
        becomes(worker, "at work")
        names.append(place.path("kept/instance").read_text())
        worker.signal(signal.SIGTERM)
        worker.wait()
    lib.equal("with --state its name among the workers stays", names[0], names[1])


def wrong(place, kafka):
    lib.part("wrong: what cannot be meant is said at once")
    topics(place, kafka)
    sim = place.sim()
    env = place.environment(sim)
    done = subprocess.run([lib.options.offpeak, "worker"], env=env, capture_output=True, encoding="utf-8",
                          check=False, timeout=60)
    lib.that("no brokers", done.returncode == 2 and "no brokers are named" in done.stderr
             and "offpeak worker --brokers" in done.stderr, done.stderr)
    worker = daemon(place, kafka, sim, "worker", "--set", "health.listen=nowhere")
    ended = worker.wait()
    lib.that("a probe at no address", ended.code == 2 and "could not listen at 'nowhere'" in ended.err, ended)

    first = daemon(place, kafka, sim, "worker", "--set", "kafka.instance=one")
    lib.that("a worker with a name", becomes(first, "at work"), first.stderr())
    second = daemon(place, kafka, sim, "worker", "--set", "kafka.instance=one")
    lib.that("a second one of that name takes its place", becomes(second, "at work"), second.stderr())
    ended = first.wait(timeout=90)
    lib.that("the first ends and says why", ended.code not in (0, None) and "kafka.instance" in ended.err, ended)
    second.signal(signal.SIGTERM)
    lib.equal("the second ends as it should", second.wait().code, 0)


def main():
    lib.start(__doc__)
    for one in (work, limits, default, reload, folders, wrong):
        if lib.wanted(one.__name__):
            with broker.Broker() as kafka, lib.Place() as place:
                one(place, kafka)
    lib.finish()


if __name__ == "__main__":
    main()
