#!/usr/bin/env python3
"""`offpeak topics` on a real broker: makes what is missing, names what differs and what to do, and
where the broker lets it go no further says the command that somebody else has to run.
"""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import lib  # noqa: E402
import broker  # noqa: E402

SHARED = ["acks", "answers", "batches", "budgets", "leader", "ledger", "marks", "open", "ready", "spend"]
QUEUE = ["dead.search", "jobs.search.tags", "results.search", "runs.search"]


def topics(kafka, *words, user=None, newest=False):
    """`offpeak topics ...`; as one of the users of a secured broker, or of an open one."""
    env = kafka.env(newest, HOME="/nonexistent", OFFPEAK_CONFIG="/dev/null")
    if user:
        env.pop("OFFPEAK_BROKERS")
        env["OFFPEAK_KAFKA_FILE"] = str(kafka.client(user))
    return subprocess.run([lib.options.offpeak, "topics", *map(str, words)], env=env, check=False,
                          capture_output=True, encoding="utf-8", timeout=120, cwd="/")


def lines(done, word):
    """The names on the lines that begin with a word: "created", "ok", "none", "wrong", "FAIL", "note"."""
    return sorted(line.split()[1].rstrip(":") for line in done.stdout.splitlines()
                  if line.split()[:1] == [word])


def full(names):
    return sorted(f"offpeak.{name}" for name in names)


def fresh(kafka):
    done = topics(kafka, "check")
    lib.equal("check: nothing is there", lines(done, "none"), full(SHARED))
    lib.equal("and it fails", done.returncode, 1)
    lib.that("it says what to run", f"offpeak topics create --brokers {kafka.address}" in done.stderr,
             done.stderr)

    done = topics(kafka, "create", "-n", "--team", "search", "--feature", "tags")
    commands = done.stdout.splitlines()
    lib.equal("create -n prints a command for each topic", len(commands), len(SHARED + QUEUE))
    lib.that("of the broker's own scripts", all(c.startswith("kafka-topics.sh ") for c in commands))
    lib.equal("and makes none", lines(topics(kafka, "check"), "none"), full(SHARED))

    done = topics(kafka, "create", "--team", "search", "--feature", "tags", "--partitions", 6)
    lib.equal("create makes them", lines(done, "created"), full(SHARED + QUEUE))
    lib.equal("and succeeds", done.returncode, 0)
    done = topics(kafka, "check")
    lib.equal("they are there at once, as they should be", lines(done, "ok"), full(SHARED + QUEUE))
    lib.equal("check succeeds", (done.returncode, done.stderr), (0, ""))
    lib.that("with the partitions that were asked for", "jobs.search.tags: 6 partitions" in done.stdout)
    lib.that("and those that are for life", "offpeak.ready: 12 partitions" in done.stdout)

    done = topics(kafka, "create", "--team", "search", "--feature", "tags", "--partitions", 6)
    lib.equal("create again makes nothing", (done.returncode, lines(done, "created")), (0, []))
    done = topics(kafka, "create", "-n", "--team", "search", "--feature", "tags", "--partitions", 6)
    lib.equal("and would do nothing", (done.returncode, done.stdout), (0, ""))
    done = topics(kafka, "check", "--team", "search", "--feature", "labels")
    lib.equal("a queue that is not there", lines(done, "none"), full(["jobs.search.labels"]))
    other = topics(kafka, "check", "--set", "kafka.prefix=other.")
    lib.equal("another prefix is another system", (other.returncode, lines(other, "ok")), (1, []))


def kinds(kafka):
    done = topics(kafka, "check", "--json")
    found = {t["name"]: t["differences"] for t in json.loads(done.stdout)["topics"]}
    lib.equal("check finds nothing", [d for d in found.values() if d], [])
    for topic, setting, value in (
            ("offpeak.jobs.search.tags", "retention.ms", "-1"),
            ("offpeak.results.search", "retention.ms", "2592000000"),
            ("offpeak.answers", "cleanup.policy", "compact"),
            ("offpeak.ready", "max.message.bytes", "8454144")):
        lib.equal(f"{setting} of {topic}", kafka_setting(kafka, topic, setting), value)


def kafka_setting(kafka, topic, setting):
    """A setting of a topic, asked for with another client: confluent-kafka, in a process of its own."""
    path = broker.script("client-newest", "--python").splitlines()[-1]
    ask = ("import sys\n"
           "from confluent_kafka.admin import AdminClient, ConfigResource\n"
           "admin = AdminClient({'bootstrap.servers': sys.argv[1]})\n"
           "asked = admin.describe_configs([ConfigResource('topic', sys.argv[2])])\n"
           "print(next(iter(asked.values())).result(30)[sys.argv[3]].value)\n")
    done = subprocess.run([sys.executable, "-c", ask, kafka.address, topic, setting], check=False,
                          env={"PYTHONPATH": path}, capture_output=True, encoding="utf-8", timeout=60)
    return done.stdout.strip() or done.stderr


def wrong():
    lib.part("wrong: what somebody made otherwise")
    with broker.Broker() as kafka:
        kafka.topic("offpeak.ready", 3, "retention.ms=-1", "max.message.bytes=8454144",
                    "message.timestamp.type=LogAppendTime")
        kafka.topic("offpeak.spend", 1, "retention.ms=1000", "message.timestamp.type=LogAppendTime")
        kafka.topic("offpeak.open", 1, "message.timestamp.type=LogAppendTime", "segment.bytes=2097152")
        kafka.topic("offpeak.somebody", 2)
        kafka.topic("offpeak.jobs.search.tags", 5, "retention.ms=-1", "max.message.bytes=20000000",
                    "message.timestamp.type=LogAppendTime")
        done = topics(kafka, "check")
        lib.equal("check fails", done.returncode, 1)
        lib.equal("a number of partitions that is fixed for life", lines(done, "FAIL"), full(["ready"]))
        lib.that("it says how to go on", "kafka.prefix" in done.stdout)
        lib.that("and what it is for", "it says where equal requests meet" in done.stdout)
        lib.equal("settings that lose or refuse records",
                  sorted(set(lines(done, "wrong"))), full(["spend", "open"]))
        lib.that("with what they are and should be", "retention.ms is 1000, not -1" in done.stdout, done.stdout)
        lib.equal("what does no harm", lines(done, "note"), full(["jobs.search.tags", "somebody"]))
        lib.that("a team that has a queue needs more",
                 set(full(["dead.search", "results.search", "runs.search"])) <= set(lines(done, "none")))

        said = topics(kafka, "create", "-n").stdout
        lib.that("create -n would change them",
                 "kafka-configs.sh" in said and "--add-config cleanup.policy=compact," in said,
                 [line for line in said.splitlines() if "configs" in line])
        done = topics(kafka, "create")
        lib.equal("create sets them right", lines(done, "changed"), full(["spend", "open"]))
        lib.equal("and says that the rest is left", (done.returncode, lines(done, "FAIL")), (1, full(["ready"])))
        done = topics(kafka, "check")
        lib.equal("that is all that check still finds", (lines(done, "wrong"), lines(done, "none")), ([], []))
        lib.equal("the partitions are as they were", lines(done, "FAIL"), full(["ready"]))
        lib.equal("and other settings too", kafka_setting(kafka, "offpeak.open", "segment.bytes"), "2097152")

        report = json.loads(topics(kafka, "check", "--json").stdout)
        ready = next(t for t in report["topics"] if t["name"] == "offpeak.ready")["differences"][0]
        lib.equal("--json names it too", (ready["setting"], ready["is"], ready["should"], ready["repairable"]),
                  ("partitions", "3", "12", False))
        lib.equal("with the exit code", report["exit"], 1)


def secure():
    lib.part("secure: users who may not")
    with broker.Broker(secure=True) as kafka:
        words = ["--team", "a", "--feature", "names"]
        done = topics(kafka, "create", *words, user="team-a")
        lib.that("who may not create fails", done.returncode in (1, 4), done.returncode)
        lib.that("why", "not allowed" in done.stderr, done.stderr)
        lib.that("it says what somebody else has to run",
                 "offpeak topics create --team a --feature names" in done.stderr, done.stderr)
        lib.that("and no password", "sasl.password" not in done.stdout + done.stderr)

        done = topics(kafka, "create", *words, "--allow", "producer=team-a", "--allow", "reader=User:team-a",
                      user="admin")
        lib.equal("who may, makes them", lines(done, "created"),
                  full([*SHARED, "dead.a", "jobs.a.names", "results.a", "runs.a"]))
        lib.equal("and gives permissions", done.returncode, 0)
        done = topics(kafka, "check", *words, "--allow", "producer=team-a", user="admin")
        lib.equal("check finds them", done.returncode, 0)
        access(kafka)

        done = topics(kafka, "check", *words, "--allow", "producer=team-b", user="admin")
        lib.equal("what team-b lacks is named, and is a difference", done.returncode, 1)
        lib.that("with its words", "none    User:team-b: write topic offpeak.jobs.a.names" in done.stdout,
                 done.stdout)
        workers(kafka)
        wrong_password = topics(kafka, "check", "--set", f"kafka.file={bad_file(kafka)}")
        lib.equal("a wrong password is exit code 4", wrong_password.returncode, 4)


def access(kafka):
    soon = ["-X", "message.timeout.ms=5000"]
    done = kafka.put("offpeak.jobs.a.names", "{}\n", user="team-a")
    lib.equal("team-a puts jobs on its queue", done.returncode, 0)
    done = kafka.put("offpeak.results.a", "{}\n", user="team-a", more=soon)
    lib.that("but no results", done.returncode != 0)
    done = kafka.put("offpeak.jobs.a.names", "{}\n", user="team-b", more=soon)
    lib.that("team-b puts none there", done.returncode != 0)
    kafka.put("offpeak.results.a", "answer\n", user="admin")
    lib.equal("team-a reads its results", kafka.all_of("offpeak.results.a", user="team-a"), ["answer"])
    lib.equal("team-b does not", kafka.all_of("offpeak.results.a", user="team-b"), [])


def workers(kafka):
    done = topics(kafka, "create", "--allow", "worker=worker", user="admin")
    by_hand = [line for line in done.stdout.splitlines() if line.startswith("kafka-acls.sh")]
    lib.equal("what this librdkafka cannot give is a command", (done.returncode, len(by_hand)), (1, 1))
    lib.that("to be run as it is", "--allow-principal 'User:worker' --operation Write --transactional-id "
             "offpeak.worker --resource-pattern-type prefixed" in by_hand[0], by_hand)
    done = topics(kafka, "create", "--allow", "worker=worker", user="admin", newest=True)
    lib.equal("the newest one can", done.returncode, 0)
    done = topics(kafka, "check", "--allow", "worker=worker", user="admin", newest=True)
    lib.equal("and sees it", done.returncode, 0)
    done = kafka.put("offpeak.spend", "{}\n", user="worker", more=["-X", "transactional.id=offpeak.worker-1"])
    lib.equal("a worker writes in transactions", done.returncode, 0)
    done = kafka.put("offpeak.spend", "{}\n", user="worker", more=["-X", "transactional.id=offpeak.scheduler"])
    lib.that("of its own name only", done.returncode != 0)


def bad_file(kafka):
    path = kafka.folder / "clients/wrong.properties"
    text = kafka.client("team-a").read_text()
    path.write_text("".join("sasl.password=nothing\n" if line.startswith("sasl.password") else line
                            for line in text.splitlines(keepends=True)))
    return path


def doctor():
    lib.part("doctor: broker, library and topics")
    with broker.Broker(secure=True) as kafka, lib.Place() as place:
        def look(user, newest=False, **more):
            env = kafka.env(newest, HOME="/nonexistent", OFFPEAK_CONFIG="/dev/null", OPENAI_API_KEY="",
                            OFFPEAK_KAFKA_FILE=str(user), **more)
            env.pop("OFFPEAK_BROKERS")
            done = subprocess.run([lib.options.offpeak, "doctor", "--data", place.path("data")], env=env,
                                  check=False, capture_output=True, encoding="utf-8", timeout=120)
            return {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()
                    if line[:1] != " "}, done.stdout

        admin = kafka.client("admin")
        found, said = look(admin)
        lib.equal("the broker answers", found["broker"], "ok")
        lib.equal("there are no topics yet", found["topics"], "warn")
        lib.that("and what makes them", "offpeak topics create" in said)
        topics(kafka, "create", user="admin")
        found, said = look(admin, newest=True)
        lib.equal("now they are there", (found["topics"], found["library"]), ("ok", "ok"))
        lib.that("nobody is at work, and how to start", found["at"] == "warn" and "offpeak scheduler" in said
                 and "offpeak worker" in said, said)
        lib.equal("the key is the workers'", found["key"], "ok")
        scram = kafka.folder / "clients/scram.properties"
        scram.write_text(admin.read_text().replace("PLAIN", "SCRAM-SHA-256"))
        found, said = look(scram)
        lib.that("an old library that is to use SCRAM is warned of",
                 found["library"] == "ok" or "SCRAM-SHA-256" in said, said.splitlines()[0])
        found, said = look(bad_file(kafka))
        lib.equal("a wrong password", found["broker"], "FAIL")


def nobody(kafka):
    kafka.kill()
    done = topics(kafka, "check")
    lib.equal("nobody answers: try again later", done.returncode, 5)
    lib.that("and what to look at", "OFFPEAK_BROKERS" in done.stderr, done.stderr)
    done = topics(kafka, "check", "--brokers", "")
    lib.equal("no broker is named: usage", done.returncode, 2)
    done = topics(kafka, "create", "-n", "--brokers", "")
    lib.equal("create -n needs none", (done.returncode, len(done.stdout.splitlines())), (0, len(SHARED)))
    done = topics(kafka, "describe", "--brokers", "")
    lib.equal("nor does describe", (done.returncode, len(done.stdout.splitlines())), (0, 15))
    for words in (["create", "--feature", "f"], ["create", "--partitions", "3"], ["make"], [],
                  ["check", "--allow", "boss=x"], ["check", "--allow", "reader=x"],
                  ["check", "--set", "kafka.prefix=nodot"], ["check", "--set", "kafka.file=/nonexistent"]):
        lib.equal(f"topics {' '.join(words)}: usage", topics(kafka, *words).returncode, 2)


def plain():
    with broker.Broker() as kafka:
        for what, part in (("fresh: an empty broker", fresh), ("kinds: what the broker keeps of it", kinds),
                           ("nobody: no broker, no answer", nobody)):
            lib.part(what)
            part(kafka)


def main():
    lib.start(__doc__)
    for one in (plain, wrong, secure, doctor):
        if lib.wanted(one.__name__):
            one()
    lib.finish()


if __name__ == "__main__":
    main()
