"""What the benchmarks share: a process watched from outside, and tables.

Memory is anonymous memory, RssAnon + RssShmem of /proc/PID/status: what cannot be dropped.
Pages of the store are file pages and not counted; RssFile is shown beside it.
"""
import pathlib
import re
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
import lib  # noqa: E402

MB = 1 << 20
RELEASE = lib.ROOT / "build/bin"


def start(about, more=None):
    def add(parser):
        parser.set_defaults(offpeak=RELEASE / "offpeak", sim=RELEASE / "offpeak-sim")
        parser.add_argument("--scratch", help="a folder on a large disk [the temporary one]")
        if more:
            more(parser)
    options = lib.start(about, add)
    if options.scratch:
        lib.tempfile.tempdir = options.scratch
    return options


def memory(pid):
    """{RssAnon, RssFile, RssShmem} in bytes; empty when the process has ended."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    return {k: int(v) * 1024 for k, v in re.findall(r"^(Rss\w+):\s+(\d+) kB", text, re.M)}


class Watch:
    """Samples a process until it ends."""

    def __init__(self, pid, every=0.02):
        self.pid, self.every = pid, every
        self.peak = {"RssAnon": 0, "RssFile": 0, "RssShmem": 0}
        self.anonymous = self.samples = 0
        self.cpu = 0.0
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while seen := memory(self.pid):
            self.samples += 1
            self.anonymous = max(self.anonymous, seen["RssAnon"] + seen["RssShmem"])
            for name, value in seen.items():
                self.peak[name] = max(self.peak[name], value)
            self.cpu = max(self.cpu, cpu_of(self.pid))
            time.sleep(self.every)

    def done(self):
        self.thread.join(5)
        return self


def cpu_of(pid):
    """Seconds of user and system time so far."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / 100


def table(rows):
    """Rows of text under a header row, in columns."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  ".join(str(cell).ljust(w) if i == 0 else str(cell).rjust(w)
                        for i, (cell, w) in enumerate(zip(row, widths))))
        if number == 0:
            print("  ".join("-" * w for w in widths))
