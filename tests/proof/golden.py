"""What the program says, against what it said when somebody read it and found it good.

golden/<kind>.txt holds one section a case: the exit code and standard error, with what differs
from one run to the next (paths, ports, ids, times) written as words. `--record` writes the
file anew; read the difference before you commit it.
"""
import difflib
import pathlib
import re

import lib

HERE = pathlib.Path(__file__).resolve().parent / "golden"

# What differs between two runs of the same thing, in this order.
WORDS = (
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?( ?UTC|Z)?)?", "DATE"),
    (r"\b[0-9A-Z]{26}\b", "KEY"),
    (r"\b(batch|file|req|batch_req|chatcmpl)[-_][0-9a-zA-Z]{6,}", r"\1_ID"),
    (r"PORT [0-9a-f]{8,16}\b", "PORT HEX"),
    (r"stdin-\w{6}\b", "stdin-NAME"),
    (r"DATE#\w{8}", "DATE#HEX"),
    (r"\b(?=[0-9a-f]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{8,64}\b", "HEX"),
    (r"\b(pid|process) \d+", r"\1 N"),
    (r"\b\d+(\.\d+)? ?(ms|seconds?|s|min|minutes?)\b", "SOME TIME"),
    (r"\b\d+ of its lines", "SOME of its lines"),
    (r"\b\d+ of \d+ bytes", "SOME BYTES"),
    (r"\b\d{4,} bytes", "SOME BYTES"),
)


def plain(text, place):
    text = text.replace(str(place.folder), "DIR")
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    lines = []
    for line in text.splitlines():
        if not lines or lines[-1] != line:
            lines.append(line.rstrip())
    return "\n".join(lines)


class Golden:
    """The sections of one kind."""

    def __init__(self, kind, record):
        self.path, self.record, self.seen = HERE / f"{kind}.txt", record, {}
        self.sections, self.left_out = {}, set()
        if self.path.exists():
            text = self.path.read_text(encoding="utf-8")
            for name, body in re.findall(r"^== (.*)\n((?:(?!== ).*\n?)*)", text, re.M):
                self.sections[name] = body.rstrip("\n")

    def check(self, name, ended, place, last=None):
        """`last`: only so many lines of stderr, where what comes before depends on timing."""
        said = plain(ended.err, place)
        if last:
            said = "\n".join(said.splitlines()[-last:])
        self.seen[name] = f"exit {ended.code}\n{said}".rstrip("\n")
        if self.record:
            return
        before = self.sections.get(name, "(not recorded)")
        if not lib.that(f"{name}: it says what it should", self.seen[name] == before):
            print("\n".join("     " + line for line in difflib.unified_diff(
                before.splitlines(), self.seen[name].splitlines(), "golden", "now",
                lineterm="")))

    def done(self):
        """Nothing may stand in the file that no case says any more."""
        if not self.record and not lib.options.only:
            stale = sorted(set(self.sections) - set(self.seen) - self.left_out)
            lib.that(f"every section of {self.path.name} has its case", not stale, stale or "")
        if self.record:
            self.path.parent.mkdir(exist_ok=True)
            sections = {**self.sections, **self.seen} if lib.options.only else self.seen
            self.path.write_text("\n\n".join(
                f"== {name}\n{body}" for name, body in sections.items()) + "\n", encoding="utf-8")
            print(f"recorded {self.path}")
