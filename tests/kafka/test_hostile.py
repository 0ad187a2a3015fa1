#!/usr/bin/env python3
"""What strangers may put on a jobs topic: bytes that are no job, records as large as the broker takes,
headers that lie, lines that came before. Each ends as a rejected result and a copy in the team's dead
letters, with a reason a person can act on; the daemons stay small, and other teams notice nothing.
"""
import json
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import lib  # noqa: E402
import broker  # noqa: E402

RSS_MIB_MAX = 200  # of a daemon with records of 10 MB on their way; 113 were seen
LARGE = 10 * 1000 * 1000
TOPIC_MAX = 8454144  # max.message.bytes of a jobs topic, as `topics create` makes it
HUGE = 2 ** 64 - 1


def line(custom_id="x", **more):
    return json.dumps({**lib.job(custom_id, "who are you?"), **more}).encode()


def many(n, value=b"x"):
    return [(f"header-{i}", value) for i in range(n)]


# What it is, its value, its headers, and what the reason must say.
REJECTED = [
    ("an empty value", b"", [], "empty"),
    ("a tombstone", None, [], "empty"),
    ("garbage", bytes(range(256)) * 40, [], "JSON"),
    ("a NUL", b"\0", [], "JSON"),
    ("text", b"hello", [], "JSON"),
    ("a number", b"42", [], "no JSON object"),
    ("bytes that are no UTF-8", line().replace(b"who", b"\xff\xfe"), [], "UTF-8"),
    ("half a line", line()[:60], [], ""),
    ("two lines in one record", line() + b"\n" + line(), [], ""),
    ("no request", b'{"custom_id":"a"}', [], "url"),
    ("a body that is text", line(body="who?"), [], "body"),
    ("brackets in a body", b'{"method":"POST","url":"/v1/chat/completions","body":' + b"[" * 5000, [], "deep"),
    ("as many brackets as the topic takes", b"[" * (TOPIC_MAX - 200), [], ""),
    ("a custom_id of 8 MB", line("i" * (TOPIC_MAX - 65536 - 400)), [], "custom_id"),
    ("a model that nobody sells", json.dumps(lib.job("m", "?", model="no-such")).encode(), [], "price book"),
    ("another team in the line", line(team="blue"), [], "team 'blue'"),
    ("another team in a header", line(), [("team", b"blue")], "team 'blue'"),
    ("another feature in a header", line(), [("feature", b"other")], "feature 'other'"),
    ("a negative line number", line(), [("run", b"night"), ("line", b"-1")], "'line'"),
    ("a line that is no number", line(), [("line", b"banana")], "'line'"),
    ("a line number beyond all numbers", line(), [("line", b"9" * 30)], "'line'"),
    ("an attempt that is no number", line(), [("attempt", b"first")], "'attempt'"),
    ("a run with a path in it", line(), [("run", b"../../etc")], "run"),
    ("a run with a row of its own kind", line(), [("run", b"night/cancel")], "run"),
    ("a run with a line break", line(), [("run", b"a\nb")], "run"),
    ("a run of 200 characters", line(), [("run", b"r" * 200)], "'run'"),
    ("a line above the last of its run", line(), [("run", b"night"), ("line", str(HUGE).encode())], "night"),
    ("an attempt nobody made", line(), [("run", b"night"), ("line", b"3"), ("attempt", str(HUGE).encode())],
     "attempt"),
    ("refused with words that are no text", line(), [("refused", b"\xff\0\"}")], "'refused'"),
    ("refused by itself", line(), [("refused", b"no: \"wanted\"")], "wanted"),
    ("300 headers of 100 bytes", line(), many(300, b"v" * 100), "headers"),
    ("a header of 100 kB", line(), [("large", b"v" * 100000)], "headers"),
    ("a header with a long name", line(), [("n" * 5000, b"v")], "headers"),
    ("a run whose row is garbage", line(), [("run", b"broken"), ("line", b"1")], "broken"),
]

# Strange, but a job all the same.
ANSWERED = [
    ("100 small headers", line(), many(100), b"k"),
    ("a key of 10 kB", line(), [], b"k" * 10000),
    ("a header without a value", line(), [("trace", None)], None),
    ("a run that is another team's", line(), [("run", b"theirs"), ("line", b"1")], None),
    ("signed as by us, with the last of all numbers", line(), [("c", str(HUGE).encode()), ("w", b"x")], None),
    ("a time before all times", line(), [], None),
]


class Client:
    """A client that is not ours."""

    def __init__(self, kafka):
        sys.path.insert(0, broker.script("client-newest", "--python").splitlines()[-1])
        from confluent_kafka import Producer  # pylint: disable=import-error
        self.producer = Producer({"bootstrap.servers": kafka.address, "message.max.bytes": 20000000,
                                  "linger.ms": 0})

    def put(self, topic, value, headers=(), key=None, **more):
        """Where it stands: "partition/offset"."""
        at = []

        def delivered(error, record):
            if error:
                raise broker.Failed(f"{topic}: {error}")
            at.append(f"{record.partition()}/{record.offset()}")

        self.producer.produce(topic, value, key=key, headers=list(headers), on_delivery=delivered, **more)
        self.producer.flush(30)
        return at[0]


def daemon(place, kafka, sim, role):
    env = place.environment(sim)
    env["OFFPEAK_BROKERS"] = kafka.address
    command = [lib.options.offpeak, role, "--state", place.path(role)]
    if role == "worker":
        command += [word for key, value in lib.FAST.items() for word in ("--set", f"{key}={value}")]
    return lib.Running(place, command, env)


def run(place, kafka, sim, *words):
    env = place.environment(sim)
    env["OFFPEAK_BROKERS"] = kafka.address
    return place.offpeak(*words, env=env, timeout=300)


def peak_mib(running):
    """A sanitizer takes its share."""
    if "libasan" in pathlib.Path(f"/proc/{running.pid}/maps").read_text():
        return 1
    status = pathlib.Path(f"/proc/{running.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) // 1024


class Records:
    """What a topic holds, by the place of the job in its topic: "partition/offset"."""

    def __init__(self, kafka, topic):
        self.kafka, self.topic = kafka, topic

    def read(self):
        words = ["-C", "-q", "-e", "-o", "beginning", "-t", self.topic, "-J", "-X", "fetch.message.max.bytes=20000000"]
        said = subprocess.run(["kcat", "-b", self.kafka.address, *words], capture_output=True, check=False,
                              timeout=60).stdout
        return [json.loads(text) for text in said.decode("utf-8", "replace").splitlines()]

    def by_place(self, queue):
        found = {}
        for record in self.read():
            name, partition, offset, _ = record["key"].split("/")
            if name == queue:
                found.setdefault(f"{partition}/{offset}", []).append(record)
        return found

    def count(self):
        said = self.kafka.kcat("-C", "-q", "-e", "-o", "beginning", "-t", self.topic, "-f", "%k\n").stdout
        return len(said.splitlines())


def a_night(place, kafka, sim, run_name, n):
    """Seconds from the submit of a well-behaved team to its last result."""
    path = place.write(f"{run_name}.jsonl", lib.lines_of([lib.job(f"{run_name}-{i}", f"{run_name} {i}?")
                                                          for i in range(n)]))
    began = time.monotonic()
    done = run(place, kafka, sim, "submit", path, "--team", "good", "--feature", "tags", "--run", run_name)
    lib.equal(f"'{run_name}' of another team is queued", done.code, 0)
    done = run(place, kafka, sim, "results", "--run", run_name, "--team", "good", "-o",
               place.path(f"{run_name}.out"), "--wait")
    lib.equal("and has all its results",
              (done.code, len(lib.read_lines(place.path(f"{run_name}.out")))), (0, n))
    return time.monotonic() - began


def put_all(client):
    places = {what: client.put("offpeak.jobs.bad.names", value, headers)
              for what, value, headers, _ in REJECTED}
    strange = {what: client.put("offpeak.jobs.bad.names", value, headers, key,
                                **({"timestamp": 1} if "time" in what else {}))
               for what, value, headers, key in ANSWERED}
    large = client.put("offpeak.jobs.bad.large", b"[" * LARGE)
    return places, strange, large


def hostile(place, kafka):
    sim, client = place.sim(), Client(kafka)
    for team, feature in (("bad", "names"), ("bad", "large"), ("good", "tags")):
        run(place, kafka, sim, "topics", "create", "--team", team, "--feature", feature)
        run(place, kafka, sim, "budget", "set", team, "--limit", "1000", "--per", "day")
    allow_large(kafka)
    kafka.topic("offpeak.jobs.NOT.ours", 1)
    kafka.topic("offpeak.jobs.nothing", 1)
    daemons = [daemon(place, kafka, sim, role) for role in ("scheduler", "worker")]
    a_night(place, kafka, sim, "first", 20)
    quiet = a_night(place, kafka, sim, "quiet", 200)

    lib.part("each is rejected, with a reason")
    jobs = place.write("night.jsonl", lib.lines_of([lib.job(f"n{i}", f"night {i}?") for i in range(20)]))
    words = ("submit", jobs, "--team", "bad", "--feature", "names", "--run", "night")
    lib.equal("a run of the same team is queued", run(place, kafka, sim, *words).code, 0)
    client.put("offpeak.runs.bad", b"\xff{", [], b"names/broken")
    client.put("offpeak.runs.bad", b"\0", [], b"k" * 5000)
    for name in ("NOT.ours", "nothing"):
        client.put(f"offpeak.jobs.{name}", line())
    places, strange, large = put_all(client)
    noisy = a_night(place, kafka, sim, "noisy", 200)
    expected = len(REJECTED) + len(ANSWERED) + 1 + 20
    results = Records(kafka, "offpeak.results.bad")
    lib.wait_for(lambda: results.count() >= expected or not all(d.alive() for d in daemons), every=0.5)
    got, dead = results.by_place("bad.names"), Records(kafka, "offpeak.dead.bad").by_place("bad.names")
    for what, _, _, reason in REJECTED:
        one(what, reason, got.get(places[what]), dead.get(places[what]))
    one("10 MB of brackets, where an operator allows that", "",
        results.by_place("bad.large").get(large),
        Records(kafka, "offpeak.dead.bad").by_place("bad.large").get(large))
    lib.cases("hostile records", len(REJECTED))

    lib.part("what is only strange is answered")
    for what, *_ in ANSWERED:
        found = got.get(strange[what], [])
        lib.equal(what, [status(record) for record in found], ["ok"])
    lib.equal("no result is there twice", results.count(), expected)

    repeats(place, kafka, client, results, expected, daemons)

    lib.part("nobody else is harmed")
    after = a_night(place, kafka, sim, "after", 200)
    lib.that("another team's jobs took as long as before and after", noisy < 3 * max(quiet, after) + 10,
             f"{quiet:.1f} s, {noisy:.1f} s, {after:.1f} s")
    for one_of in daemons:
        peak = peak_mib(one_of) if one_of.alive() else 0
        lib.that(f"the {one_of.command[1]} stays small", 0 < peak <= RSS_MIB_MAX, f"{peak} MiB")
        lib.equal("and never stopped", re.findall(".*(?:could not|standing by).*", one_of.stderr()), [])
        one_of.process.terminate()
    lib.equal("both end in order", [one_of.wait(60).code for one_of in daemons], [0, 0])
    done = run(place, kafka, sim, "audit")
    lib.equal("audit finds the row that nobody can read, and nothing else",
              re.findall(r"^\w+: .*|row '.*'", done.out, re.M), ["record_broken: a record cannot be read",
                                                               "row 'names/broken'"])


def allow_large(kafka):
    """What an operator may do: one jobs topic takes more than the others."""
    from confluent_kafka.admin import AdminClient, ConfigResource, AlterConfigOpType, ConfigEntry  # pylint: disable=import-error
    entry = ConfigEntry("max.message.bytes", "12000000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource("topic", "offpeak.jobs.bad.large", incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka.address})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


def status(record):
    return json.loads(record["payload"])["offpeak"]["status"]


def one(what, reason, results, dead):
    if not lib.equal(f"{what}: one result", len(results or []), 1):
        return
    value = json.loads(results[0]["payload"])
    message = (value["error"] or {}).get("message", "")
    lib.that("    rejected, and says why", value["offpeak"]["status"] == "rejected" and len(message) > 5 and
             reason in message, message)
    said = dead[0]["headers"] if dead else []
    lib.equal("    and so does its dead letter", (len(dead or []), "message" in said and
                                                 said[said.index("message") + 1] == message), (1, True))


def repeats(place, kafka, client, results, before, daemons):
    lib.part("lines that came before are folded and counted")
    for i in range(1, 21):
        client.put("offpeak.jobs.bad.names", line(f"n{i}"), [("run", b"night"), ("line", str(i).encode()),
                                                             ("attempt", b"1")], partition=i % 3)
    last = client.put("offpeak.jobs.bad.names", b"?", partition=0)
    lib.wait_for(lambda: results.by_place("bad.names").get(last), every=0.5)
    lib.equal("the run again adds no result", results.count(), before + 1)
    lib.that("the scheduler says how many it left out",
             lib.wait_for(lambda: sum(int(n) for n in re.findall(r"bad/names: (\d+) repeated line",
                                                                daemons[0].stderr())) == 20),
             re.findall(".*repeated.*", daemons[0].stderr()))


def main():
    lib.start(__doc__)
    with broker.Broker() as kafka, lib.Place() as place:
        hostile(place, kafka)
    lib.finish()


if __name__ == "__main__":
    main()
