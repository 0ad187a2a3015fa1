"""One node: a folder, and the process that serves it.

    server.properties   its settings, ports included, written once
    java.args           how Java is started, written at every start
    data/               what it keeps
    broker.out          what it printed; server.log: its warnings
    pid, lock           the process; who starts or stops it holds the lock

The ports are chosen once: after a restart clients find it where it was. They are taken from below
the range that Linux gives to outgoing connections: one of those could sit on the port while the
node is down (a client that keeps trying can even connect to itself), and it could not come back.
"""
import base64
import fcntl
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import uuid

from kafkalib import cache, fail, secure, wire, write_private

HOST = "127.0.0.1"
PORTS = range(20000, 32000)
READY_SECONDS_MAX = 90
STOP_SECONDS_MAX = 20
STARTS_MAX = 3  # of a new node, when another program was quicker on one of its ports

# Buffers and timers of a node that serves one machine. A restart waits until the registration of
# the node's former life has expired, hence the short session.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "broker.session.timeout.ms": 2000,
    "broker.heartbeat.interval.ms": 500,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "offsets.topic.num.partitions": 1,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    "log.cleaner.backoff.ms": 500,
    "log.cleaner.dedupe.buffer.size": 4194304,
    "log.cleaner.io.buffer.size": 65536,
    "num.io.threads": 2,
    "num.network.threads": 1,
    "num.recovery.threads.per.data.dir": 1,
    "background.threads": 2,
}
SMALL = ["-Xms128m", "-Xmx128m", "-XX:TieredStopAtLevel=1"]  # quick to start, 190 MB
MEASURE = ["-Xms256m", "-Xmx256m"]  # the optimising compiler: slow to start, fast when warm

LOG = """\
status=warn
rootLogger.level=warn
rootLogger.appenderRefs=file
rootLogger.appenderRef.file.ref=file
appender.file.type=File
appender.file.name=file
appender.file.fileName={folder}/server.log
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{ISO8601}} %p %c: %m%n
"""


def free_ports(count):
    """Ports nobody listens on at this moment."""
    found = []
    for port in random.sample(PORTS, 1000):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    fail(f"find {count} free ports between {PORTS.start} and {PORTS.stop}")


def new_id():
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


class Node:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder).absolute()
        self.tls = self.folder / "tls"
        self.properties = self.folder / "server.properties"

    # --- what the folder says ---

    def setting(self, key):
        for line in self.properties.read_text().splitlines():
            if line.startswith(f"{key}="):
                return line.split("=", 1)[1]
        return None

    def addresses(self):
        """{listener: address} of the ones for clients, the one to give away first."""
        parts = (part.split("://") for part in self.setting("advertised.listeners").split(","))
        return dict(parts)

    def address(self):
        return next(iter(self.addresses().values()))

    def exists(self):
        return self.properties.exists()

    def secured(self):
        return self.tls.is_dir()

    def pid(self):
        """The living process of this folder, else None. A number alone would prove nothing."""
        try:
            pid = int((self.folder / "pid").read_text())
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if str(self.properties).encode() in words else None

    # --- requests ---

    def connect(self, timeout_s=5):
        addresses = self.addresses()
        tls = secure.admin(self.tls) if self.secured() else None
        return wire.Connection(addresses.get("MTLS", self.address()), tls, timeout_s)

    def answers(self):
        """None when it does, else why not."""
        try:
            with self.connect(2) as connection:
                return None if connection.brokers() else "it is still starting"
        except (OSError, ssl.SSLError) as error:
            return str(error) or type(error).__name__

    # --- making it ---

    def create(self, passwords):
        """Lays out a new node. The settings come last: a folder without them is no node yet."""
        for old in ("data", "tls", "clients"):
            shutil.rmtree(self.folder / old, ignore_errors=True)
        shutil.copytree(cache.home() / "formatted", self.folder / "data")
        meta = self.folder / "data/meta.properties"
        meta.write_text(re.sub(r"^(cluster|directory)\.id=.*", lambda found: f"{found[1]}.id={new_id()}",
                               meta.read_text(), flags=re.M))
        (self.folder / "log4j2.properties").write_text(LOG.format(folder=self.folder))
        if passwords:
            secure.make_certificates(self.tls, passwords)
        self.write_settings(passwords)

    def write_settings(self, passwords):
        names = ["SASL", "MTLS"] if passwords else ["PLAINTEXT"]
        protocols = {"SASL": "SASL_SSL", "MTLS": "SSL", "PLAINTEXT": "PLAINTEXT",
                     "CONTROLLER": "SSL" if passwords else "PLAINTEXT"}
        *ports, controller = free_ports(len(names) + 1)
        clients = [f"{name}://{HOST}:{port}" for name, port in zip(names, ports)]
        settings = {
            **SETTINGS,
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "listeners": ",".join([*clients, f"CONTROLLER://{HOST}:{controller}"]),
            "advertised.listeners": ",".join(clients),
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocols[name]}" for name in [*names, "CONTROLLER"]),
            "log.dirs": self.folder / "data",
        }
        if passwords:
            settings.update(secure.settings(self.tls, passwords))
            secure.write_clients(self.folder / "clients", self.tls, passwords,
                                 *(f"{HOST}:{port}" for port in ports))
        draft = self.folder / "server.properties.new"
        write_private(draft, "".join(f"{key}={value}\n" for key, value in settings.items()))
        draft.rename(self.properties)

    # --- life ---

    def lock(self):
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = open(self.folder / "lock", "w", encoding="ascii")  # held until the program ends
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock

    def launch(self, options):
        args = [*options, "-Xshare:auto", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError",
                "-XX:-UsePerfData", "-Djava.awt.headless=true",
                f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties",
                "-cp", cache.class_path()]
        (self.folder / "java.args").write_text("".join(f'"{word}"\n' for word in args))
        with open(self.folder / "broker.out", "w", encoding="utf-8") as out:
            process = subprocess.Popen(
                [cache.java(), f"@{self.folder}/java.args", "kafka.Kafka", str(self.properties)],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, env={**os.environ, "MALLOC_ARENA_MAX": "2"})
        (self.folder / "pid").write_text(f"{process.pid}\n")
        return process

    def wait_ready(self, process=None):
        """None when it answers, else why it never will."""
        end = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < end:
            if process.poll() is not None if process else not self.pid():
                return "it ended"
            why = self.answers()
            if not why:
                return None
            time.sleep(0.02)
        return f"no answer after {READY_SECONDS_MAX} s: {why}"

    def complaints(self):
        texts = [(self.folder / name) for name in ("server.log", "broker.out")]
        lines = [line for path in texts if path.exists()
                 for line in path.read_text(errors="replace").splitlines()
                 if not line.startswith(("\tat ", "SLF4J"))]
        return lines[-12:]

    def start(self, options, passwords=None):
        """Starts it, new or not; returns when it answers."""
        is_new = not self.exists()
        for last in range(STARTS_MAX, 0, -1):
            if not self.exists():
                self.create(passwords)
            (self.folder / "server.log").unlink(missing_ok=True)
            why = self.wait_ready(self.launch(options))
            if not why:
                return
            complaints = self.complaints()
            self.kill()
            if is_new:
                self.properties.unlink()
            if last == 1 or not is_new or "already in use" not in "".join(complaints):
                break
        print("\n".join(complaints), file=sys.stderr)
        hint = "a new folder: --dir" if "already in use" in "".join(complaints) else \
            f"what it said stands in {self.folder}/server.log and broker.out"
        fail(f"start the broker in '{self.folder}': {why} (its last words above)", hint)

    def wait_gone(self, seconds):
        end = time.monotonic() + seconds
        while self.pid() and time.monotonic() < end:
            reap()
            time.sleep(0.02)
        return not self.pid()

    def kill(self):
        if self.pid():
            os.kill(self.pid(), signal.SIGKILL)
            self.wait_gone(STOP_SECONDS_MAX)
        (self.folder / "pid").unlink(missing_ok=True)

    def stop(self):
        if self.pid():
            os.kill(self.pid(), signal.SIGTERM)
            os.kill(self.pid(), signal.SIGCONT)
            self.wait_gone(STOP_SECONDS_MAX)
        self.kill()


def reap():
    """Takes note of children that ended: one that did not would count as alive for ever."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def make_archive(folder, jsa):
    """Runs a secured node once, so that the classes of both kinds are in the archive."""
    folder.mkdir()
    node = Node(folder)
    node.start([*SMALL, f"-XX:ArchiveClassesAtExit={jsa}"], secure.users())
    os.kill(node.pid(), signal.SIGTERM)
    node.wait_gone(READY_SECONDS_MAX)
    node.kill()
    if not jsa.exists():
        print("\n".join(node.complaints()), file=sys.stderr)
        fail("keep the broker's classes for quick starts (output above)", "scripts/kafka build")


def watch(node_pid, owner_pid, folder=None):
    """Kills the node as soon as its owner is gone, however that ended, and removes the folder.
    Ends with the node where that goes first."""
    def process(pid):
        try:
            return os.pidfd_open(pid)
        except ProcessLookupError:
            return None

    node, owner = process(node_pid), process(owner_pid)
    if node is None:
        return
    if owner is not None and node in select.select([node, owner], [], [])[0]:
        return
    signal.pidfd_send_signal(node, signal.SIGKILL)
    select.select([node], [], [])
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def describe(node):
    why = node.answers() if node.pid() else "no process"
    rows = {"address": node.address()}
    rows.update((name.lower(), at) for name, at in node.addresses().items() if name == "MTLS")
    rows.update({"answers": f"no: {why}" if why else "yes", "process": node.pid() or "none",
                 "version": cache.VERSION, "folder": node.folder})
    return rows, not why
