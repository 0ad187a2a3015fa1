#!/usr/bin/env python3
"""scripts/kafka gives a real broker: to programs that ask for one side by side, again on the same
data after a crash, secured by passwords and certificates, and never longer than it was wanted.
"""
import concurrent.futures
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import lib  # noqa: E402
import broker  # noqa: E402

SOON = ["-X", "message.timeout.ms=5000"]  # who is denied need not wait long


def processes_of(folder):
    """The processes, of whatever program, whose arguments name the folder."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def script(*words, **env):
    return subprocess.run([broker.SCRIPT, *words], env={**os.environ, **env}, check=False,
                          capture_output=True, encoding="utf-8", timeout=300)


def crash():
    lib.part("crash: the same data at the same address")
    with broker.Broker() as kafka:
        kafka.topic("letters", 2)
        lib.equal("kcat puts two messages", kafka.put("letters", "a\nb\n").returncode, 0)
        lib.equal("and reads them", sorted(kafka.all_of("letters")), ["a", "b"])
        said = script("status", "--dir", kafka.folder)
        for word in (kafka.address, f"process   {kafka.pid()}", "yes", "4.3.1", str(kafka.folder)):
            lib.that(f"status says '{word}'", word in said.stdout)

        address, first = kafka.address, kafka.pid()
        os.kill(first, signal.SIGKILL)
        lib.that("killed, it is gone", lib.wait_for(lambda: not kafka.pid()))
        said = script("status", "--dir", kafka.folder)
        lib.that("status says so, and fails", said.returncode == 1 and "no process" in said.stdout)
        lib.equal("up again, at the same address", kafka.up(), address)
        lib.that("another process", kafka.pid() != first)
        lib.equal("with the messages", sorted(kafka.all_of("letters")), ["a", "b"])
        lib.equal("it takes a transaction", kafka.put("letters", "c\n", more=[
            "-X", "transactional.id=one"]).returncode, 0)

        kafka.down()
        lib.that("down, nothing of it is left", lib.wait_for(lambda: not processes_of(kafka.folder)),
                 processes_of(kafka.folder))
        lib.equal("up after down, at the same address", kafka.up(), address)
        lib.equal("with all messages", sorted(kafka.all_of("letters")), ["a", "b", "c"])
        kafka.pause()
        said = script("status", "--dir", kafka.folder)
        lib.that("stopped with SIGSTOP, it does not answer", "answers   no" in said.stdout)
        kafka.down()
        lib.that("and ends all the same", lib.wait_for(lambda: not processes_of(kafka.folder)))
        folder = kafka.folder
    lib.that("its folder goes with the test", not folder.exists())


def together():
    lib.part("together: many ask at once")
    with broker.Broker() as one, broker.Broker() as two, concurrent.futures.ThreadPoolExecutor() as pool:
        lib.that("two brokers, two addresses", one.address != two.address)
        one.topic("mine")
        one.put("mine", "x\n")
        lib.that("what one has, the other has not",
                 one.all_of("mine") == ["x"] and "mine" not in two.kcat("-L").stdout)
        one.kill()
        said = list(pool.map(lambda _: one.up(), range(3)))
        lib.equal("three that start one broker get one address", len(set(said)), 1)
        lib.equal("and one process", processes_of(one.folder / "server.properties"), [one.pid()])
        folders = one.folder, two.folder
    lib.that("nothing of them is left", lib.wait_for(lambda: not any(map(processes_of, folders))))


def orphans():
    lib.part("orphans: it ends with the program that wanted it")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="offpeak-kafka-"))
    owner = lib.spawn(["sleep", "100"])
    try:
        script("up", "--dir", folder, "--for", str(owner.pid), "--remove")
        lib.that("it runs", processes_of(folder))
        lib.end(owner)
        lib.that("its owner killed, it is gone", lib.wait_for(lambda: not processes_of(folder)))
        lib.that("with its folder", lib.wait_for(lambda: not folder.exists()))
    finally:
        lib.end(owner)
        if folder.exists():
            script("kill", "--dir", folder)
            shutil.rmtree(folder, ignore_errors=True)

    show = 'echo "$OFFPEAK_BROKERS $KAFKA_DIR"; exit 7'
    said = script("run", "sh", "-c", show)
    lib.equal("`run` hands on the exit code", said.returncode, 7)
    address, folder = said.stdout.split()
    lib.that("and the address", address.startswith("127.0.0.1:"), address)
    lib.that("and leaves nothing", lib.wait_for(
        lambda: not processes_of(folder) and not pathlib.Path(folder).exists()))


def refused(done, word):
    return done.returncode != 0 and word.lower() in done.stderr.lower()


def secure():
    lib.part("secure: passwords, certificates, access rules")
    with broker.Broker(secure=True) as kafka:
        kafka.topic("offpeak.jobs.a.names")
        kafka.topic("offpeak.jobs.b.names")
        secret = [*kafka.folder.glob("clients/*"), *kafka.folder.glob("tls/*.key"),
                  kafka.folder / "tls/keystore.pem", kafka.folder / "server.properties"]
        open_to = [path.name for path in secret if stat.S_IMODE(path.stat().st_mode) != 0o600]
        lib.equal("only the owner reads keys and passwords", open_to, [])
        wrong = kafka.kcat("-L", "-m", "4", "-X", "sasl.password=wrong", user="team-a")
        lib.that("a wrong password is refused", refused(wrong, "authentication"), wrong.stderr)
        wrong = kafka.kcat("-L", "-m", "4", "-X", "ssl.certificate.location=", "-X",
                           "ssl.key.location=", user="team-a", mtls=True)
        lib.that("so is who shows no certificate", refused(wrong, "ssl"), wrong.stderr)
        access(kafka)


def access(kafka):
    own, other = "offpeak.jobs.a.names", "offpeak.jobs.b.names"
    denied = kafka.put(own, "early\n", user="team-a", more=SOON)
    lib.that("what no rule allows is denied", denied.returncode != 0, denied.stderr)
    kafka.acl("allow", "team-a", "read,write,describe", "topic", "offpeak.jobs.a.*")
    kafka.acl("allow", "team-a", "write,describe", "transactional-id", "a-*")
    lib.that("the rules are listed", "team-a allow write topic offpeak.jobs.a.*" in kafka.acl("list"))
    for mtls, how in ((False, "a password"), (True, "a certificate")):
        done = kafka.put(own, f"with {how}\n", user="team-a", mtls=mtls)
        lib.that(f"team-a writes with {how}", done.returncode == 0, done.stderr)
        lib.that("and reads", f"with {how}" in kafka.all_of(own, user="team-a", mtls=mtls))
        done = kafka.put(other, "not mine\n", user="team-a", mtls=mtls, more=SOON)
        lib.that("but not to team-b", done.returncode != 0, done.stderr)
    for name, allowed in (("a-1", True), ("b-1", False)):
        done = kafka.put(own, "sure\n", user="team-a", more=["-X", f"transactional.id={name}"])
        lib.equal(f"may use the transactional id {name}", done.returncode == 0, allowed)
    lib.equal("a user's rules for a name are removed together",
              kafka.acl("remove", "team-a", "topic", "offpeak.jobs.a.*").strip(), "3 removed")
    done = kafka.put(own, "late\n", user="team-a", more=SOON)
    lib.that("and what they allowed is denied", done.returncode != 0, done.stderr)
    lib.equal("nothing came that was denied",
              sorted(kafka.all_of(own, user="admin") + kafka.all_of(other, user="admin")),
              ["sure", "with a certificate", "with a password"])


def newest():
    lib.part("newest: the other client library")
    with broker.Broker() as kafka:
        kafka.topic("t")
        lib.equal("it writes", kafka.put("t", "x\n", newest=True).returncode, 0)
        lib.equal("it reads", kafka.all_of("t", newest=True), ["x"])
        about = kafka.kcat("-V", newest=True).stdout
        lib.that("and it is not the system's", "librdkafka 2.0" not in about, about.splitlines()[-2:])


def without():
    lib.part("without: what is missing is said")
    with lib.Place() as place:
        tools = place.path("tools")
        tools.mkdir()
        (tools / "java").symlink_to(shutil.which("java"))
        cache = {"XDG_CACHE_HOME": str(place.path("cache")), "JAVA_HOME": ""}
        said = script("build", PATH=str(place.folder), **cache)
        lib.that("no Java", refused(said, "could not find 'java'") and "hint: " in said.stderr, said.stderr)
        said = script("build", PATH=str(tools), **cache)
        lib.that("no Maven", refused(said, "'mvn' is not installed") and "hint: " in said.stderr, said.stderr)
        (tools / "mvn").write_text("#!/bin/sh\necho unreachable\nexit 1\n")
        (tools / "mvn").chmod(0o755)
        said = script("build", PATH=f"{tools}:/usr/bin:/bin", **cache)
        lib.that("no registry", refused(said, "could not fetch Apache Kafka") and
                 "unreachable" in said.stderr and "network" in said.stderr, said.stderr)
        left = [path for path in place.path("cache").rglob("*") if path.suffix != ".lock"]
        lib.that("and nothing half made stays", all(path.is_dir() for path in left), left)


def main():
    lib.start(__doc__)
    for one in (crash, together, orphans, secure, newest, without):
        if lib.wanted(one.__name__):
            one()
    lib.finish()


if __name__ == "__main__":
    main()
