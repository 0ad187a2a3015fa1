#!/usr/bin/python3
"""The API key is in no file, no output, no argument list, no environment and no core file.

    tests/proof/test_secrets.py [--only PART]

A canary key is given in every way there is, through good runs and bad ones; then every byte
the program left anywhere is searched for it: as it is, in hex, in base 64, and its second
half alone, for a provider that repeats a part of a key in its messages.
"""
import base64
import os
import pathlib
import re
import resource
import secrets
import shutil
import signal
import subprocess

import lib

NOBODY = 65534
PAGES = 1 << 16  # bytes
WHO = ("--team", "shop", "--feature", "shelf")


class Canary:
    """A key that occurs nowhere else in the world, and the forms it could hide in."""

    def __init__(self, kind="canary"):
        self.key = f"sk-{kind}-{secrets.token_hex(24)}"
        raw = self.key.encode()
        self.forms = {"as it is": raw, "its second half": raw[len(raw) // 2:],
                      "backwards": raw[::-1], "in hex": raw.hex().encode()}
        for shift in range(3):  # base 64 has three ways to begin
            text = base64.b64encode(b"\0" * shift + raw)
            self.forms[f"in base 64, from byte {shift}"] = text[4:-4]

    def hits(self, blob):
        return [name for name, form in self.forms.items() if form in blob]

    def in_folder(self, folder, except_for=()):
        found, files, size = [], 0, 0
        for path in pathlib.Path(folder).rglob("*"):
            if path.is_file() and not path.is_symlink() and path not in except_for:
                blob = path.read_bytes()
                files, size = files + 1, size + len(blob)
                found += [f"{path.name}: {h}" for h in self.hits(blob)]
        return found, files, size


def search(place, canary, what, except_for=()):
    """The data folder, the outputs, the logs: everything in the place."""
    found, files, size = canary.in_folder(place.folder, except_for)
    lib.equal(f"{what}: the key in {files} files, {size} bytes", found, [])


def jobs_in(place, name="jobs", count=30):
    return place.write(f"{name}.jsonl", lib.lines_of(
        lib.job(f"{name}-{n}", f"question {name} {n}") for n in range(count)))


def ways():
    """Through the environment, a file named in it, a flag, and the configuration."""
    for way in ("OPENAI_API_KEY", "OPENAI_API_KEY_FILE", "--key-file", "openai.key_file"):
        with lib.Place() as place:
            canary = Canary()
            sim, jobs = place.sim(), jobs_in(place)
            file = place.write("key.secret", canary.key + "\n")
            file.chmod(0o600)
            env = place.environment(sim, key=canary.key if way == "OPENAI_API_KEY" else None)
            more, settings = [], {}
            if way == "OPENAI_API_KEY_FILE":
                env[way] = str(file)
            elif way == "--key-file":
                more = ["--key-file", file]
            elif way != "OPENAI_API_KEY":
                settings = {way: file}
            ended = place.run(sim, jobs, "--run", "r", "-o", place.path("out"), *WHO, *more,
                              env=env, settings=settings)
            lib.equal(f"{way}: exit code", ended.code, 0)
            for command in (["doctor"], ["config"], ["run", jobs, "--dry-run"]):
                place.offpeak(*command, *(["--data", place.path("data")]
                                          if command[0] != "config" else []), env=env)
            search(place, canary, way, except_for=(file,))


def failures():
    """A key that is refused, revoked, malformed, or put where no key belongs."""
    with lib.Place() as place:
        sim, jobs = place.sim(), jobs_in(place)
        canary = Canary("wrong")
        ended = place.run(sim, jobs, "--run", "r", *WHO, key=canary.key)
        lib.equal("a refused key: exit code", ended.code, 4)
        search(place, canary, "a refused key")
    with lib.Place() as place:
        canary = Canary()
        sim = place.sim(faults=[{"on": "batches.get", "do": "revoke_key", "nth": 2}], hold=True)
        ended = place.run(sim, jobs_in(place), "--run", "r", *WHO, key=canary.key)
        lib.equal("a revoked key: exit code", ended.code, 4)
        search(place, canary, "a revoked key")
    with lib.Place() as place:
        canary = Canary()
        sim, jobs = place.sim(), jobs_in(place)
        broken = place.write("key.secret", canary.key + " and more\n")
        config = place.write("inline.yaml", f"openai:\n  key_file: {canary.key}\n")
        for name, arguments in {
            "a key with a space": ["--key-file", broken],
            "a key as a file's name in the configuration": ["--config", config],
        }.items():
            ended = place.run(sim, jobs, "--run", "r", *WHO, *arguments, key=None)
            lib.that(f"{name}: it is refused", ended.code in (2, 4), f"exit {ended.code}")
            lib.equal(f"{name}: the key in what it says", canary.hits(ended.err.encode()), [])
        search(place, canary, "malformed keys", except_for=(broken, config))


def slow_run(place, canary, **kwargs):
    """A run that waits for its batch: the key is in use."""
    sim = place.sim(hold=True)
    run = place.begin(sim, jobs_in(place), "--run", "r", *WHO, key=canary.key, **kwargs)
    lib.that("a run is under way, its batch at the provider", lib.wait_for(
        lambda: sim.stats()["operations"].get("batches.create", 0) > 0))
    return run


def process():
    """What other processes can see of a running one."""
    with lib.Place() as place:
        canary = Canary()
        run = slow_run(place, canary)
        lines = []
        for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(entry.read_bytes())
            except OSError:
                pass  # it has ended
        lib.equal(f"the key in the argument lists of {len(lines)} processes",
                  [h for line in lines for h in canary.hits(line)], [])
        environ = pathlib.Path(f"/proc/{run.pid}/environ").read_bytes()
        lib.that("its environment was read", b"OPENAI_BASE_URL" in environ,
                 f"{len(environ)} bytes")
        lib.equal("the key in /proc/PID/environ", canary.hits(environ), [])
        status = pathlib.Path(f"/proc/{run.pid}/status").read_text()
        lib.that("no core file will be written: its limit is 0",
                 re.search(r"Max core file size +0 +0 ", limits_of(run.pid)) is not None)
        lib.equal("threads that another process traces",
                  re.search(r"TracerPid:\s+(\d+)", status).group(1), "0")
        run.signal(signal.SIGINT)
        lib.equal("Ctrl-C: exit code", run.wait().code, 130)
        search(place, canary, "afterwards")


def limits_of(pid):
    return pathlib.Path(f"/proc/{pid}/limits").read_text()


def core():
    """A crash leaves no core file, and nobody but root can make one."""
    with lib.Place() as place:
        canary = Canary()
        place.folder.chmod(0o777)
        folder = place.path("cores")
        folder.mkdir()
        folder.chmod(0o777)
        is_root = os.getuid() == 0

        def crash_here():
            os.chdir(folder)
            resource.setrlimit(resource.RLIMIT_CORE,
                               (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            if is_root:
                os.setgid(NOBODY)
                os.setuid(NOBODY)

        env = place.environment(key=canary.key, ASAN_OPTIONS="disable_coredump=0:detect_leaks=0")
        pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
        control = subprocess.Popen(["sleep", "60"], preexec_fn=crash_here)
        lib.wait_for(lambda: pathlib.Path(f"/proc/{control.pid}/comm").read_text() == "sleep\n")
        control.send_signal(signal.SIGABRT)
        control.wait()
        made = list(folder.iterdir())
        print(f"core files here are written to '{pattern}': an aborted `sleep` left "
              f"{[p.name for p in made]}")
        for path in made:
            path.unlink()

        sim = place.sim(hold=True)
        env["OPENAI_BASE_URL"] = sim.url
        jobs = jobs_in(place)
        jobs.chmod(0o644)
        run = place.begin(sim, jobs, "--run", "r", *WHO, env=env, limits=crash_here)
        lib.that("a run of a user without rights, its batch at the provider", lib.wait_for(
            lambda: sim.stats()["operations"].get("batches.create", 0) > 0))
        if shutil.which("gdb"):
            command = ["gdb", "-nx", "-batch", "-p", str(run.pid), "-ex",
                       f"generate-core-file {folder}/attached"]
            attach = subprocess.run(command, capture_output=True, text=True, check=False,
                                    preexec_fn=crash_here if is_root else None, timeout=300)
            lib.that("another process of that user may not attach",
                     not (folder / "attached").exists(),
                     lib.short((attach.stderr.strip().splitlines() or [""])[-1]))
        else:
            print("left out: attaching, for there is no gdb")
        run.signal(signal.SIGABRT)
        run.wait(dies=True)
        left = [p.name for p in folder.iterdir()]
        lib.that("an abort leaves no core file", not left, left)
        search(place, canary, "after an abort")


def mappings(pid):
    """Every mapping of a process: first and last address, rights, name, flags of the kernel."""
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)", line)
        if head:
            first, last, rights, name = head.groups()
        elif line.startswith("VmFlags:"):
            yield int(first, 16), int(last, 16), rights, name, line.split()[1:]


def would_be_dumped(pid, place):
    """What a core file made by root would hold: all but what is marked `dd`, do not dump. The
    second list is what of that is small: the pages of secrets, not a sanitizer's shadow."""
    kept, marked, size = [], [], 0
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for first, last, rights, name, flags in mappings(pid):
            ours = name.startswith(str(place.folder))  # files, which `search` reads
            dump = "dd" not in flags
            if "r" not in rights or ours or name.startswith("[v") \
                    or (not dump and last - first > PAGES):
                continue
            memory.seek(first)
            (kept if dump else marked).append((name or "memory without a name",
                                               memory.read(last - first)))
            size += last - first if dump else 0
    return kept, marked, size


def dump():
    """A core file that root makes of a running one does not hold the key either."""
    if os.geteuid() != 0:
        print("left out, for only root may read another process here")
        return
    with lib.Place() as place:
        canary = Canary()
        key_file = place.write("key", canary.key + "\n")
        key_file.chmod(0o600)
        sim = place.sim(hold=True)
        run = place.begin(sim, jobs_in(place), "--run", "r", *WHO, "--key-file", key_file,
                          key=None)
        lib.that("a run is under way, its batch at the provider", lib.wait_for(
            lambda: sim.stats()["operations"].get("batches.get", 0) > 0))
        held, marked, size = would_be_dumped(run.pid, place)
        lib.that("the key is in memory, in pages marked as ones that no core file holds",
                 any(canary.hits(blob) for _, blob in marked), f"{len(marked)} of them")
        lib.equal(f"the key in {size} bytes that a core file would hold",
                  [f"{name}: {h}" for name, blob in held for h in canary.hits(blob)], [])
        run.signal(signal.SIGKILL)
        run.wait()


PARTS = (ways, failures, process, core, dump)


def main():
    lib.start(__doc__)
    for one in PARTS:
        if lib.wanted(one.__name__):
            lib.part(one.__doc__)
            one()
    lib.finish()


main()
