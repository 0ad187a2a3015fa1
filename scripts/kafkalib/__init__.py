"""The parts of scripts/kafka: cache (what is fetched once), node (the folder of one broker and
its process), secure (users, certificates, client files) and wire (requests to the broker).
"""
import os
import sys


def fail(what, *hints):
    """Ends the program as every script here does: what could not be done, then what to do."""
    print(f"could not {what}", file=sys.stderr)
    for hint in hints:
        print(f"hint: {hint}", file=sys.stderr)
    sys.exit(1)


def write_private(path, text):
    """A file that nobody else may read, from its first byte on."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
