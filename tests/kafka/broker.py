"""A real Kafka broker for a test, or several: each has a folder and ports of its own.

    with broker.Broker() as kafka:
        kafka.topic("offpeak.jobs.red.names", 3, "retention.ms=-1")
        run([offpeak, "worker"], env=kafka.env())     # OFFPEAK_BROKERS
        kafka.kill()                                  # as a crash would
        kafka.up()                                    # the same data, the same address
        kafka.pause(); kafka.resume()                 # SIGSTOP, SIGCONT

    with broker.Broker(secure=True) as kafka:         # admin may do all, others nothing
        kafka.acl("allow", "team-a", "read,describe", "topic", "offpeak.results.red")
        kafka.kcat("-L", user="team-a")               # kafka.client("team-a"): its file

It ends with the test, even when the test is killed, and its folder with it; `keep=True` leaves the
folder of a test that ends by itself. Broker raises Failed when it cannot be had: no test may pass
without one. The programs run with the newest librdkafka in kafka.env(newest=True).
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "scripts/kafka"
START_SECONDS_MAX = 600  # the first one on a machine is fetched
KCAT_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20


class Failed(Exception):
    """A command of scripts/kafka that failed, with all that it said."""


def script(*words, seconds=START_SECONDS_MAX):
    done = subprocess.run([SCRIPT, *map(str, words)], stdin=subprocess.DEVNULL, check=False,
                          capture_output=True, encoding="utf-8", timeout=seconds)
    if done.returncode:
        raise Failed(f"scripts/kafka {' '.join(map(str, words))}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


class Broker:
    def __init__(self, secure=False, measure=False, keep=False):
        self.options = [*["--secure"] * secure, *["--measure"] * measure]
        self.keep, self.folder, self.address = keep, None, None

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="offpeak-kafka-"))
        try:
            self.up()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, _error, _trace):
        if kind:
            log = self.folder / "server.log"
            print("\n".join(log.read_text().splitlines()[-8:] if log.exists() else []), file=sys.stderr)
        try:
            self.kill()
        finally:
            if self.keep:
                print(f"kept {self.folder}")
            else:
                shutil.rmtree(self.folder, ignore_errors=True)

    # --- life ---

    def up(self):
        remove = [] if self.keep else ["--remove"]
        said = script("up", "--dir", self.folder, "--for", os.getpid(), *remove, *self.options)
        self.address = said.splitlines()[-1]
        return self.address

    def down(self):
        script("down", "--dir", self.folder)

    def pid(self):
        """None when it is not running."""
        try:
            pid = int((self.folder / "pid").read_text())
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self.folder).encode() in words else None

    def signal(self, number):
        if self.pid():
            os.kill(self.pid(), number)

    def kill(self):
        if (self.folder / "server.properties").exists():
            script("kill", "--dir", self.folder)

    def pause(self):
        self.signal(signal.SIGSTOP)
        end = time.monotonic() + STOP_SECONDS_MAX
        while not self.stands_still():  # a thread that works stops a moment later
            if time.monotonic() > end:
                raise Failed(f"the broker does not stop within {STOP_SECONDS_MAX} s")
            time.sleep(0.001)

    def stands_still(self):
        states = []
        for thread in pathlib.Path(f"/proc/{self.pid()}/task").glob("*/stat"):
            try:
                states.append(thread.read_text().rsplit(")", 1)[1].split()[0])
            except OSError:  # it ended
                continue
        return all(state == "T" for state in states)

    def resume(self):
        self.signal(signal.SIGCONT)

    # --- use ---

    def topic(self, name, partitions=1, *settings):
        script("topic", "--dir", self.folder, name, partitions, *settings)

    def acl(self, *words):
        return script("acl", "--dir", self.folder, *words)

    def client(self, user, mtls=False):
        return self.folder / "clients" / f"{user}{'.mtls' * mtls}.properties"

    def env(self, newest=False, **more):
        """The environment for a program that is to use this broker."""
        env = {**os.environ, "OFFPEAK_BROKERS": self.address, "KAFKA_DIR": str(self.folder), **more}
        if newest:
            library = pathlib.Path(script("client-newest").splitlines()[-1])
            env["LD_LIBRARY_PATH"] = str(library.parent)
        return env

    def kcat(self, *words, user=None, mtls=False, text=None, newest=False):
        """Runs kcat to its end; look at its returncode, stdout and stderr."""
        where = ["-F", self.client(user, mtls)] if user else ["-b", self.address]
        try:
            return subprocess.run(["kcat", *map(str, [*where, *words])], input=text or "", check=False,
                                  capture_output=True, encoding="utf-8", env=self.env(newest),
                                  timeout=KCAT_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"kcat {' '.join(map(str, words))}: no end") from error

    def put(self, topic, text, **options):
        return self.kcat("-P", "-X", "max.in.flight=1", "-t", topic, *options.pop("more", []), text=text, **options)

    def all_of(self, topic, **options):
        """The values of all records of a topic, committed ones only."""
        return self.kcat("-C", "-q", "-e", "-o", "beginning", "-t", topic, *options.pop("more", []),
                         **options).stdout.splitlines()
