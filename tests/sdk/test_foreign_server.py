#!/usr/bin/python3
"""offpeak against aimock, a mock of OpenAI's API that nobody here wrote.

    tests/sdk/test_foreign_server.py OFFPEAK

What our simulator and our client might misread in the same way, a stranger's server reads
its own way: multipart upload, create, poll, download. It answers every line with the same
words and counts one token in and one out.
"""
import collections
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SDK = ROOT / "build-dev/sdk/node"
AIMOCK = SDK / "node_modules/@copilotkit/aimock/dist/cli.js"
QUESTIONS, JOBS = 40, 50


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_until_listening(port, server):
    for _ in range(1800):
        if server.poll() is not None:
            sys.exit(f"aimock ended with {server.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("aimock does not listen")


def job(number):
    body = {
        "model": ["gpt-4o-mini", "gpt-4.1-mini"][number % QUESTIONS % 2],
        "messages": [{"role": "user", "content": f"Question {number % QUESTIONS}"}],
        "max_completion_tokens": 16,
    }
    return {"custom_id": f"job-{number}", "method": "POST", "url": "/v1/chat/completions",
            "body": body}


def run(offpeak, folder, port, name):
    """One run of the job file; returns its result lines."""
    out = folder / f"{name}.jsonl"
    environment = dict(os.environ, OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1",
                       OPENAI_API_KEY="sk-foreign-0001")
    subprocess.run([offpeak, "run", folder / "jobs.jsonl", "-o", out, "--run", name,
                    "--data", folder / "data", "--set", "batch.poll=100ms",
                    "--set", "batch.linger=100ms"], env=environment, check=True, timeout=300)
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r}, wanted {wanted!r}")
    print(f"ok {what}: {got}")


def check(offpeak, folder, port):
    lines = "".join(json.dumps(job(n)) + "\n" for n in range(JOBS))
    (folder / "jobs.jsonl").write_text(lines, encoding="utf-8")

    first = run(offpeak, folder, port, "first")
    counts = collections.Counter(x["custom_id"] for x in first)
    expect("one result for each job", len(counts) == JOBS == len(first), True)
    answers = {x["response"]["body"]["choices"][0]["message"]["content"] for x in first}
    expect("the server's answer", answers, {"Mock batch completion"})
    expect("calls paid for", sum(x["offpeak"]["paid"] for x in first), QUESTIONS)

    second = run(offpeak, folder, port, "second")
    expect("results of the second run", len(second), JOBS)
    expect("calls paid for again", sum(x["offpeak"]["paid"] for x in second), 0)


def main():
    offpeak = str(pathlib.Path(sys.argv[1]).resolve())
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        fixtures = pathlib.Path(folder) / "fixtures"
        fixtures.mkdir()
        server = subprocess.Popen([SDK / "node", AIMOCK, "-p", str(port), "-f", fixtures],
                                  stdout=subprocess.DEVNULL)
        try:
            wait_until_listening(port, server)
            check(offpeak, pathlib.Path(folder), port)
        finally:
            server.terminate()
            server.wait(10)


main()
