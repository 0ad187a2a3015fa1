#!/usr/bin/env python3
"""What is committed once is there once, whatever happens to the broker meanwhile.

    test_outage.py CONTRACT_PEER

A process puts numbered records, each in one commit with its number in a row and the ack of an
earlier one. The broker is killed and comes back, stands still for longer than a transaction
lives, is killed again in the middle of it. The process loses its ownership each time, gets it
back by itself, and at the end every number stands in the log once, in order.
"""
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "kafka"))
import broker  # noqa: E402

RECORDS, SECONDS_MAX = 400, 400
STANDSTILL_SECONDS = 25  # a transaction lives 15


def numbers(kafka):
    return [int(value) for value in kafka.all_of("steady.storm.a")]


def until(peer, count, deadline):
    """Reads what the process says up to that many records; its words about what it lost."""
    lost = []
    for line in peer.stdout:
        assert time.monotonic() < deadline, "the process makes no progress"
        if line.startswith("lost"):
            lost.append(line.strip())
        elif line.strip() == "done" or (line.strip().isdigit() and int(line) >= count):
            return lost
    raise AssertionError("the process ended by itself")


def kill(kafka):
    kafka.kill()
    time.sleep(random.random() * 3)
    kafka.up()


def stand_still(kafka):
    kafka.pause()
    time.sleep(STANDSTILL_SECONDS)
    kafka.resume()


def unheard():
    """A commit fails before anything of it was sent: its process must not go on as the owner."""
    with broker.Broker() as kafka, tempfile.TemporaryDirectory() as folder:
        peer = subprocess.Popen([sys.argv[1], "away", f"{folder}/data"], text=True, bufsize=1,
                                env=kafka.env(CONTRACT_PREFIX="away."), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE)
        watchdog = threading.Timer(SECONDS_MAX, peer.kill)
        watchdog.start()
        try:
            said = [peer.stdout.readline()]
            kafka.pause()
            peer.stdin.write("commit\n")
            said.append(peer.stdout.readline())
            kafka.resume()
            said += [peer.stdout.readline() for _ in range(2)]
            peer.stdin.write("commit\n")
            said.append(peer.stdout.readline())
        finally:
            watchdog.cancel()
            peer.kill()
            peer.wait()
        assert [line.strip() for line in said] == ["owner", "failed", "lost", "owner", "committed"], said
        print("a commit nobody heard of costs its owner the ownership, and it has it back")


def outages():
    seed = random.randrange(1 << 32)
    random.seed(seed)
    deadline = time.monotonic() + SECONDS_MAX
    troubles = [kill, kill, stand_still, kill]
    with broker.Broker() as kafka, tempfile.TemporaryDirectory() as folder:
        env = kafka.env(CONTRACT_PREFIX="steady.")
        peer = subprocess.Popen([sys.argv[1], "steady", f"{folder}/data", str(RECORDS)], env=env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        try:
            for i, trouble in enumerate(troubles):
                until(peer, RECORDS * (i + 1) // (len(troubles) + 2), deadline)
                time.sleep(random.random() / 5)  # anywhere in a commit
                trouble(kafka)
            lost = until(peer, RECORDS, deadline)
            assert peer.wait(30) == 0, "the process failed"
        finally:
            peer.kill()
            peer.wait()
        found = numbers(kafka)
        assert found == list(range(RECORDS)), f"seed {seed}: {len(found)} records: {found}"
        print(f"{RECORDS} records, each once, in order; seed {seed}", *lost, sep="\n")


if __name__ == "__main__":
    unheard()
    outages()
