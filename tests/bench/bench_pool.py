#!/usr/bin/python3
"""Calls at servers of one's own: who lets them read the least twice.

    tests/bench/bench_pool.py [--jobs FILE] [--shuffle] [--rows 600] [--servers 8] [--slots 4]
                              [--rounds 1] [--router COMMAND]

The same jobs go to the same number of real llama-servers, which are started afresh each time
(scripts/pool), with as many calls under way at a time:

    offpeak      a run in lane pool, from an empty folder to the last result on file
    round robin  a bare client that sends job i to server i modulo their number
    router       the bare client again, at sglang-router's cache_aware in front of the servers

`cached` is the share of the prompt's tokens that the servers took from their caches, as their
answers tell it; `tokens read` is what each server had to read of them (thousands), `prompt`
what it was given. Rates say little on a busy machine: the load average stands beside them.

Without --jobs: made-up questions, 24 beginnings of some 540 bytes with short ends, shuffled.
Answers are cut to --answer tokens. The router comes with `pip install sglang-router==0.3.2`.
Needs scripts/pool build.
"""
import collections
import http.client
import json
import os
import random
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import measure
from measure import lib

PREFIXES, PREFIX_BYTES = 24, 540
CONTEXT = 8192  # tokens of one call, what the tiny model can; longer ones are refused to all
REFUSED = 3     # exit code: some jobs failed
WORDS = "oak lamp river stone paper green quiet seven north glass bread window coat iron".split()
LIMITS = ("max_tokens", "max_completion_tokens")


# ---- the jobs ----


def made_up(seed, rows):
    rand = random.Random(seed)

    def words(count):
        return " ".join(rand.choice(WORDS) for _ in range(count))

    guides = [f"Guide {n}: {words(120)}"[:PREFIX_BYTES] for n in range(PREFIXES)]
    made = [lib.job(f"row-{n}", f"{n}: {words(10)}", system=guides[n % PREFIXES], model="tiny")
            for n in range(rows)]
    rand.shuffle(made)
    return made


def jobs_of(options):
    if not options.jobs:
        return made_up(options.seed, options.rows)
    with open(options.jobs, encoding="utf-8") as file:
        jobs = [json.loads(line) for line in file]
    if options.shuffle:
        random.Random(options.seed).shuffle(jobs)
    return jobs[:options.rows]


def cut_answers(jobs, most):
    for job in jobs:
        name = next((n for n in LIMITS if n in job["body"]), LIMITS[0])
        job["body"][name] = min(job["body"].get(name, most), most)
    return jobs


# ---- the servers ----


class Servers:
    """Fresh ones, from scripts/pool."""

    def __init__(self, place, options):
        folder = place.path(f"pool-{place.count()}")
        self.env = dict(os.environ, POOL_DIR=str(folder), POOL_SLOTS=str(options.slots))
        self.urls = self.call("up", str(options.servers)).strip().splitlines()[-1].split(",")

    def call(self, *what):
        return subprocess.run([lib.ROOT / "scripts/pool", *what], env=self.env, check=True,
                              stdout=subprocess.PIPE, encoding="utf-8").stdout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.call("down")


# ---- the bare client ----


class Client:
    """Threads with a connection each; thread t takes the next job when its last is answered."""

    def __init__(self, urls, jobs, at_once):
        self.urls = [urllib.parse.urlsplit(url) for url in urls]
        self.jobs, self.answers, self.lock = enumerate(jobs), [], threading.Lock()
        self.threads = [threading.Thread(target=self.work) for _ in range(at_once)]

    def run(self):
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()
        return self.answers

    def work(self):
        kept = {}
        while True:
            with self.lock:
                number, job = next(self.jobs, (None, None))
            if job is None:
                break
            answer = ask(kept, self.urls[number % len(self.urls)], job)
            if answer:
                with self.lock:
                    self.answers.append(answer)
        for connection in kept.values():
            connection.close()


def ask(kept, url, job):
    """The answer to one job, or None."""
    for _ in range(2):  # a kept connection may have been closed at the other end
        connection = kept.pop(url.netloc, None) or \
            http.client.HTTPConnection(url.netloc, timeout=300)
        try:
            connection.request("POST", job["url"], json.dumps(job["body"]),
                               {"Content-Type": "application/json"})
            reply = connection.getresponse()
            body = reply.read()
        except OSError:
            connection.close()
            continue
        kept[url.netloc] = connection
        return json.loads(body) if reply.status == 200 else None
    return None


# ---- the three ways ----


def offpeak(place, options, servers, jobs):
    number = place.count()
    file = place.write(f"jobs-{number}.jsonl", lib.lines_of(jobs))
    out, data = place.path(f"out-{number}.jsonl"), place.path(f"data-{number}")
    settings = {"pool.servers": ",".join(servers.urls), "pool.price": "free",
                "pool.context_tokens": CONTEXT, "pool.concurrency": options.slots}
    command = ["run", file, "--data", data, "--lane", "pool", "-o", out]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    begun = time.monotonic()
    ended = place.offpeak(*command, env=place.environment(key=None), timeout=600)
    seconds = time.monotonic() - begun
    if ended.code not in (0, REFUSED):
        sys.exit(f"could not run the jobs: {ended!r}")
    shutil.rmtree(data)
    results = [result["response"] for result in lib.read_lines(out)]
    return seconds, [r["body"] for r in results if r and r["status_code"] == 200]


def bare(_place, options, servers, jobs):
    return timed(servers.urls, options, jobs)


def timed(urls, options, jobs):
    begun = time.monotonic()
    answers = Client(urls, jobs, options.servers * options.slots).run()
    return time.monotonic() - begun, answers


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    return [one.getsockname()[1] for one in held]


def is_ready(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readiness")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def routed(place, options, servers, jobs):
    port, figures = free_ports(2)
    workers = [url.removesuffix("/v1") for url in servers.urls]
    with open(place.path("router.log"), "wb") as log:
        router = lib.spawn([*shlex.split(options.router), "launch", "--policy", "cache_aware",
                            "--host", "127.0.0.1", "--port", port, "--prometheus-port", figures,
                            "--log-level", "error", "--worker-urls", *workers],
                           stdout=log, stderr=log)
    place.processes.append(router)
    if not lib.wait_for(lambda: is_ready(port), seconds=30):
        sys.exit(f"could not start the router: {place.path('router.log').read_text()}")
    time.sleep(1)  # it is ready with its first server
    seconds, answers = timed([f"http://127.0.0.1:{port}"], options, jobs)
    lib.end(router)
    return seconds, answers


# ---- what came of it ----


def figures_of(name, seconds, answers, load, options):
    given, read = collections.Counter(), collections.Counter()
    for answer in answers:
        usage = answer["usage"]
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        given[answer["model"]] += usage["prompt_tokens"]
        read[answer["model"]] += usage["prompt_tokens"] - cached

    def each(counter):
        counts = [counter[model] / 1000 for model in sorted(given)]
        return " ".join(f"{n:.0f}" for n in counts + [0] * (options.servers - len(given)))

    total = max(1, given.total())
    return (name, len(answers), f"{1 - read.total() / total:.1%}", f"{len(answers) / seconds:.0f}",
            f"{seconds:.1f}", f"{load:.1f}", each(given), each(read))


HEADER = ("", "answers", "cached", "jobs/s", "seconds", "load", "prompt, kT a server",
          "tokens read, kT a server")


def ways(options):
    found = {"offpeak": offpeak, "round robin": bare}
    if shutil.which(shlex.split(options.router)[0]):
        found["router"] = routed
    else:
        print(f"router: left out, '{options.router}' is not installed")
    return {name: way for name, way in found.items() if lib.wanted(name)}


def more(parser):
    parser.add_argument("--jobs", help="OpenAI batch lines [made up]")
    parser.add_argument("--shuffle", action="store_true", help="before the first rows are taken")
    parser.add_argument("--rows", type=int, default=600, help="at most")
    parser.add_argument("--answer", type=int, default=16, help="tokens at most")
    parser.add_argument("--servers", type=int, default=8)
    parser.add_argument("--slots", type=int, default=4, help="calls at a time, of one server")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--router", default="sglang-router", metavar="COMMAND")


def main():
    options = measure.start(__doc__, more)
    if subprocess.run([lib.ROOT / "scripts/pool", "cached"], check=False,
                      stdout=subprocess.DEVNULL).returncode:
        sys.exit("left out: llama-server is not built\nhint: scripts/pool build")
    jobs = cut_answers(jobs_of(options), options.answer)
    rows = [HEADER]
    with lib.Place() as place:
        chosen = ways(options)
        for _ in range(options.rounds):
            for name, way in chosen.items():
                with Servers(place, options) as servers:
                    seconds, answers = way(place, options, servers, jobs)
                rows.append(figures_of(name, seconds, answers, os.getloadavg()[0], options))
    print(f"{len(jobs)} jobs, {options.servers} servers, {options.slots} calls at a time each")
    measure.table(rows)


main()
