"""What is fetched or made once on a machine and kept in ~/.cache/offpeak/kafka/:

    <version>-<digest of pom.xml>/lib/          the jars, by their Maven coordinates
    <version>-<digest of pom.xml>/formatted/    the two files of an empty node
    <version>-<digest of pom.xml>/<java>.jsa    loaded classes as this Java maps them: halves a start
    client-<digest of the pin>/                 the newest librdkafka, and Python's client

Everything is made under a lock in a folder of its own and moved to its place when it is whole, so
that programs may ask side by side and may be killed at any moment.
"""
import contextlib
import fcntl
import functools
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from kafkalib import fail

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
POM = ROOT / "scripts/kafkalib/pom.xml"
CLIENT_PIN = ROOT / "tests/kafka/requirements.txt"
VERSION = re.search(r"<kafka.version>(.+)</kafka.version>", POM.read_text())[1]
JAVA_MIN = 17
FETCH_SECONDS_MAX = 500
WITHOUT = "without the tests that need a broker: scripts/test -LE kafka"


def digest(*parts):
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "offpeak/kafka"


def home():
    return folder() / f"{VERSION}-{digest(POM.read_bytes())}"


@functools.cache
def java():
    """The path of java: JAVA_HOME's, else the one that would run, links followed."""
    own = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{own}/bin" if own else None)
    if not found:
        fail(f"find 'java' in {f'JAVA_HOME, {own}' if own else 'PATH'}: it is not there",
             f"Java {JAVA_MIN} or newer: scripts/setup --tests", WITHOUT)
    return os.path.realpath(found)


def check_java():
    about = run("ask 'java' for its version", [java(), "-version"], "scripts/setup --tests", WITHOUT)
    major = re.search(r'version "(\d+)', about)
    if not major or int(major[1]) < JAVA_MIN:
        fail(f"run Apache Kafka {VERSION}: '{java()}' is older than Java {JAVA_MIN}",
             "scripts/setup --tests, or set JAVA_HOME", WITHOUT)


def archive():
    """Keyed by the very file of Java: an archive fits no other, and a Java update is one."""
    about = os.stat(java())
    return home() / f"{digest(java().encode(), str((about.st_size, about.st_mtime_ns)).encode())}.jsa"


def class_path():
    return f"{home()}/lib/*"


@contextlib.contextmanager
def locked(name):
    folder().mkdir(parents=True, exist_ok=True)
    with open(folder() / f"{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def workshop(name):
    """A folder for making one thing; what an earlier, killed attempt left behind is removed."""
    with locked(name):
        for old in folder().glob(f"{name}.making.*"):
            shutil.rmtree(old, ignore_errors=True)
        work = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}.making.", dir=folder()))
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def run(what, command, *hints, **options):
    """Runs a command whose output matters only when it fails."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
                              stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
                              timeout=FETCH_SECONDS_MAX, **options)
    except subprocess.TimeoutExpired:
        fail(f"{what}: no end after {FETCH_SECONDS_MAX} s", *hints)
    if done.returncode:
        print("\n".join(done.stdout.splitlines()[-12:]), file=sys.stderr)
        fail(f"{what}: exit code {done.returncode} (output above)", *hints)
    return done.stdout


def fetch(work):
    maven = shutil.which("mvn")
    if not maven:
        fail(f"fetch Apache Kafka {VERSION}: 'mvn' is not installed", "scripts/setup --tests", WITHOUT)
    print(f"kafka: fetching Apache Kafka {VERSION} once; it stays in {home()}", file=sys.stderr)
    run(f"fetch Apache Kafka {VERSION} with Maven",
        [maven, "-B", "-q", "-f", POM, "dependency:copy-dependencies", f"-DoutputDirectory={work}/lib"],
        "check the network and Maven's registry settings, then: scripts/kafka build", WITHOUT)


def format_storage(work):
    """Formats a node once; every new node copies the two files, under ids of its own."""
    (work / "server.properties").write_text(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:9093\n"
        "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n"
        f"controller.listener.names=CONTROLLER\nlog.dirs={work}/formatted\n")
    run("format an empty node", [java(), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                                 "-cp", f"{work}/lib/*", "kafka.tools.StorageTool", "format",
                                 "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", work / "server.properties"])


def build(make_archive):
    """Makes what is missing. make_archive(work, jsa) starts a node that writes the archive."""
    if archive().exists():
        return
    check_java()
    with workshop(home().name) as work:
        if not (home() / "formatted").is_dir():
            fetch(work)
            format_storage(work)
            whole = work / "whole"
            whole.mkdir()
            (work / "lib").rename(whole / "lib")
            (work / "formatted").rename(whole / "formatted")
            shutil.rmtree(home(), ignore_errors=True)
            whole.rename(home())
        if not archive().exists():
            jsa = work / "classes.jsa"
            make_archive(work / "node", jsa)
            jsa.rename(archive())


def client():
    """The folder with `lib/librdkafka.so.1` and `python/`, the newest client that is pinned."""
    made = folder() / f"client-{digest(CLIENT_PIN.read_bytes())}"
    if made.is_dir():
        return made
    with workshop(made.name) as work:
        if made.is_dir():
            return made
        hints = ("check the network and pip's registry settings, then: scripts/kafka client-newest",)
        run("make a Python environment", ["/usr/bin/python3", "-m", "venv", work / "venv"],
            "scripts/setup --tests")
        run("fetch the newest librdkafka from PyPI",
            [work / "venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--only-binary", ":all:", "--target", work / "whole/python", "-r", CLIENT_PIN], *hints)
        found = list((work / "whole/python").glob("*.libs/librdkafka*.so*"))
        if len(found) != 1:
            fail(f"find librdkafka in the package: {len(found)} files look like it", *hints)
        (work / "whole/lib").mkdir()
        (work / "whole/lib/librdkafka.so.1").symlink_to(
            pathlib.Path("..") / found[0].relative_to(work / "whole"))
        (work / "whole").rename(made)
    return made
