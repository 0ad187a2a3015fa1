#!/usr/bin/env python3
"""What offpeak-sim promises, one test a promise. Standard library only.

    OFFPEAK_SIM=build/bin/offpeak-sim python3 tests/sim/test_sim.py [-v] [Class.test]
"""
import hashlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

PROGRAM = os.environ.get("OFFPEAK_SIM", "build/bin/offpeak-sim")
HERE = pathlib.Path(__file__).resolve().parent
KEY = "sk-acme-1"
FINAL = {"completed", "failed", "expired", "cancelled"}
BOUNDARY = "xXxBoundaryxXx"

# Typed in from the vendor's price page, in dollars per million tokens: input, cached read,
# cache write, output. Not read from prices.c, so that a slip there shows.
PRICES = {
    "gpt-4o-mini": ("0.15", "0.075", "0", "0.60"),
    "gpt-4.1-nano": ("0.10", "0.025", "0", "0.40"),
    "gpt-5-mini": ("0.25", "0.025", "0", "2.00"),
    "gpt-5.6-sol": ("4.00", "0.40", "5.00", "20.00"),
    "gpt-6-luna": ("0.10", "0.01", "0.125", "0.50"),
    "gpt-6.1-sol": ("2.00", "0.10", "0", "10.00"),
}


def pico(dollars):
    """Dollars per million tokens as pico-dollars per token."""
    whole, _, part = dollars.partition(".")
    return int(whole) * 10**6 + int(part.ljust(6, "0"))


def cost(model, usage, half):
    base = re.sub(r"-20\d\d-\d\d-\d\d$", "", model)
    rates = [pico(x) for x in PRICES[base]]
    details = usage["prompt_tokens_details"]
    cached, written = details["cached_tokens"], details["cache_write_tokens"]
    classes = (usage["prompt_tokens"] - cached - written, cached, written, usage["completion_tokens"])
    total = sum(n * r for n, r in zip(classes, rates))
    return total // 2 if half else total


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(messages):
    return hashlib.sha256(canonical(messages).encode()).hexdigest()


def user(text):
    return [{"role": "user", "content": text}]


def line(i, messages=None, url="/v1/chat/completions", method="POST", **body):
    body = {"model": "gpt-4o-mini", "messages": messages or user(f"question {i}"), **body}
    return {"custom_id": f"id-{i}", "method": method, "url": url, "body": body}


def jsonl(lines):
    return "".join(x if isinstance(x, str) else json.dumps(x) + "\n" for x in lines).encode()


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["error"]["code"]


class Sim:
    """A running simulator and a client of it."""

    def __init__(self, *options, faults=None, speed=1000):
        self.folder = tempfile.TemporaryDirectory(prefix="sim-test-")
        self.path = pathlib.Path(self.folder.name)
        port_file = self.path / "port"
        command = [PROGRAM, "--listen", "127.0.0.1:0", "--port-file", str(port_file)]
        command += ["--speed", str(speed), "--list-lag", "0", *options]
        if faults is not None:
            script = self.path / "faults"
            script.write_text("".join(json.dumps(f) + "\n" for f in faults))
            command += ["--faults", str(script)]
        environment = {**os.environ, "TMPDIR": self.folder.name}
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
        end = time.monotonic() + 60
        while not port_file.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise RuntimeError(self.process.stderr.read().decode())
            time.sleep(0.005)
        self.port = int(port_file.read_text())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        said = self.process.stderr.read().decode()
        self.process.stderr.close()
        left = [p.name for p in self.path.iterdir() if p.name.startswith("offpeak-sim")]
        self.folder.cleanup()
        assert status == 0, f"exit {status}: {said}"
        assert not left, f"left behind: {left}"

    def call(self, method, path, body=None, key=KEY, headers=None, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = {"Authorization": f"Bearer {key}"} if key else {}
        if isinstance(body, (dict, list)):
            body, sent["Content-Type"] = json.dumps(body), "application/json"
        try:
            connection.request(method, path, body, {**sent, **(headers or {})})
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, key=KEY):
        return self.call("GET", path, key=key)

    def upload(self, data, name="in.jsonl", purpose="batch", key=KEY, **fields):
        parts = {"purpose": purpose, **fields}
        body = b""
        for part, value in parts.items():
            if value is not None:
                body += (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{part}"\r\n\r\n'
                         f"{value}\r\n").encode()
        if name is not None:
            body += (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; '
                     f'filename="{name}"\r\nContent-Type: application/jsonl\r\n\r\n').encode()
            body += data + b"\r\n"
        body += f"--{BOUNDARY}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return self.call("POST", "/v1/files", body, key=key, headers=kind)

    def order(self, file_id, key=KEY, **changes):
        body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions",
                "completion_window": "24h", **changes}
        return self.call("POST", "/v1/batches", {k: v for k, v in body.items() if v is not None},
                         key=key)

    def start(self, lines, key=KEY, **changes):
        """Upload and create; the batch id."""
        file_id = self.upload(jsonl(lines), key=key).json["id"]
        return self.order(file_id, key=key, **changes).json["id"]

    def batch(self, batch_id, key=KEY):
        return self.get(f"/v1/batches/{batch_id}", key).json

    def wait(self, batch_id, states=FINAL, key=KEY):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            batch = self.batch(batch_id, key)
            if batch["status"] in states:
                return batch
            time.sleep(0.005)
        raise AssertionError(f"still {batch['status']}")

    def until(self, holds, seconds=60):
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "never"
            time.sleep(0.005)

    def run(self, lines, **changes):
        return self.wait(self.start(lines, **changes))

    def lines(self, file_id):
        if file_id is None:
            return []
        content = self.get(f"/v1/files/{file_id}/content").body
        return [json.loads(x) for x in content.splitlines()]

    def outcome(self, batch):
        return self.lines(batch["output_file_id"]), self.lines(batch["error_file_id"])

    def chat(self, messages, key=KEY, model="gpt-4o-mini", **body):
        return self.call("POST", "/v1/chat/completions",
                         {"model": model, "messages": messages, **body}, key=key)

    def ask(self, path, model, input, key=KEY, **body):
        return self.call("POST", f"/v1/{path}", {"model": model, "input": input, **body}, key=key)

    def invoice(self):
        return self.get("/sim/invoice", None).json

    def stats(self):
        return self.get("/sim/stats", None).json


class Base(unittest.TestCase):
    def sim(self, *options, **more):
        sim = Sim(*options, **more)
        self.addCleanup(sim.__exit__)
        return sim

    def dropped(self, act):
        """The connection is closed without a reply."""
        with self.assertRaises((http.client.RemoteDisconnected, ConnectionResetError)):
            act()


class Files(Base):
    def test_a_file_comes_back_byte_for_byte(self):
        sim = self.sim()
        data = bytes(range(256)) * 5000
        made = sim.upload(data, name="photo.bin", purpose="user_data").json
        self.assertEqual((made["object"], made["bytes"], made["status"], made["expires_at"]),
                         ("file", len(data), "processed", None))
        self.assertEqual(sim.get(f"/v1/files/{made['id']}").json, made)
        content = sim.get(f"/v1/files/{made['id']}/content")
        self.assertEqual(content.body, data)

    def test_a_batch_file_lives_thirty_days(self):
        sim = self.sim()
        made = sim.upload(b"{}\n").json
        self.assertEqual(made["expires_at"] - made["created_at"], 30 * 86400)

    def test_a_file_is_gone_after_its_expiry(self):
        sim = self.sim(speed=20000)
        made = sim.upload(b"{}\n", **{"expires_after[anchor]": "created_at",
                                      "expires_after[seconds]": "3600"}).json
        self.assertEqual(made["expires_at"] - made["created_at"], 3600)
        time.sleep(0.25)
        self.assertEqual(sim.get(f"/v1/files/{made['id']}").status, 404)
        self.assertEqual(sim.get("/v1/files").json["data"], [])

    def test_what_is_no_good_is_refused(self):
        sim = self.sim()
        cases = {
            "extension": sim.upload(b"{}", name="in.csv"),
            "purpose": sim.upload(b"{}", purpose="fun"),
            "no purpose": sim.upload(b"{}", purpose=None),
            "no file": sim.upload(b"", name=None),
            "expiry": sim.upload(b"{}", **{"expires_after[anchor]": "created_at",
                                           "expires_after[seconds]": "60"}),
            "not a form": sim.call("POST", "/v1/files", {"purpose": "batch"}),
        }
        self.assertEqual({k: v.status for k, v in cases.items()}, dict.fromkeys(cases, 400))
        self.assertIn("Must be .jsonl", cases["extension"].json["error"]["message"])
        self.assertEqual(cases["no purpose"].code, "missing_required_parameter")
        self.assertEqual(sim.upload(b"{}", name="without-extension").status, 200)

    def test_the_list_has_pages_orders_and_purposes(self):
        sim = self.sim()
        ids = [sim.upload(b"{}\n").json["id"] for _ in range(5)]
        other = sim.upload(b"x", name="a.txt", purpose="user_data").json["id"]
        page = sim.get("/v1/files?purpose=batch&limit=2").json
        self.assertEqual([f["id"] for f in page["data"]], [ids[4], ids[3]])
        self.assertEqual((page["first_id"], page["last_id"], page["has_more"]),
                         (ids[4], ids[3], True))
        page = sim.get(f"/v1/files?purpose=batch&after={ids[3]}").json
        self.assertEqual([f["id"] for f in page["data"]], [ids[2], ids[1], ids[0]])
        self.assertFalse(page["has_more"])
        page = sim.get("/v1/files?order=asc").json
        self.assertEqual([f["id"] for f in page["data"]], [*ids, other])
        for bad in ("limit=0", "limit=10001", "limit=x", "order=up"):
            self.assertEqual(sim.get(f"/v1/files?{bad}").status, 400, bad)

    def test_a_deleted_file_is_gone(self):
        sim = self.sim()
        made = sim.upload(b"{}\n").json["id"]
        self.assertEqual(sim.call("DELETE", f"/v1/files/{made}").json,
                         {"id": made, "object": "file", "deleted": True})
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            self.assertEqual(sim.call(method, f"/v1/files/{made}{path}").status, 404)


class Batches(Base):
    def test_the_life_of_a_batch(self):
        sim = self.sim("--validate-seconds", "40", "--batch-seconds", "3000",
                       "--finalize-seconds", "40", speed=1000)
        made = sim.order(sim.upload(jsonl(line(i) for i in range(64))).json["id"],
                         metadata={"k": "v"}).json
        self.assertEqual((made["object"], made["status"], made["metadata"], made["errors"]),
                         ("batch", "validating", {"k": "v"}, None))
        self.assertEqual(made["expires_at"] - made["created_at"], 86400)
        seen, completed = [], []
        while not seen or seen[-1] not in FINAL:
            batch = sim.batch(made["id"])
            if not seen or seen[-1] != batch["status"]:
                seen.append(batch["status"])
            completed.append(batch["request_counts"]["completed"])
        states = ["validating", "in_progress", "finalizing", "completed"]
        self.assertEqual(seen, [s for s in states if s in seen], "some are short, the times tell")
        self.assertIn("in_progress", seen)
        self.assertEqual(completed, sorted(completed))
        self.assertGreater(len(set(completed)), 3, "progress shows")
        self.assertEqual(batch["request_counts"], {"total": 64, "completed": 64, "failed": 0})
        times = [batch[k] for k in ("created_at", "in_progress_at", "finalizing_at", "completed_at")]
        for wanted, took in zip((40, 3000, 40), (b - a for a, b in zip(times, times[1:]))):
            self.assertIn(took - wanted, (0, 1), "whole seconds")
        for name in ("failed_at", "expired_at", "cancelling_at", "cancelled_at", "error_file_id"):
            self.assertIsNone(batch[name])
        self.assertEqual(batch["model"], "gpt-4o-mini-2024-07-18")

    def test_every_line_is_answered_once_in_another_order(self):
        sim = self.sim()
        asked = [line(i, max_tokens=40) for i in range(300)]
        batch = sim.run(asked)
        output, errors = sim.outcome(batch)
        self.assertEqual(errors, [])
        ids = [x["custom_id"] for x in output]
        self.assertEqual(sorted(ids), sorted(x["custom_id"] for x in asked))
        self.assertNotEqual(ids, [x["custom_id"] for x in asked])
        messages = {x["custom_id"]: x["body"]["messages"] for x in asked}
        for x in output:
            self.assertIsNone(x["error"])
            self.assertEqual(x["response"]["status_code"], 200)
            said = x["response"]["body"]["choices"][0]["message"]["content"]
            self.assertTrue(said.startswith("sha256:" + digest(messages[x["custom_id"]])), said)
        files = sim.get("/v1/files?purpose=batch_output").json["data"]
        self.assertEqual([f["id"] for f in files], [batch["output_file_id"]])
        total = {k: sum(x["response"]["body"]["usage"][v] for x in output) for k, v in
                 (("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens"))}
        self.assertEqual({k: batch["usage"][k] for k in total}, total)

    def test_bad_requests_are_lines_of_the_error_file(self):
        sim = self.sim()
        bad = [
            (line(1, model="gpt-nothing"), 404, "model_not_found"),
            (line(2, temperature=3), 400, "invalid_value"),
            (line(3, max_tokens=0), 400, "integer_below_min_value"),
            (line(4, n=1.5), 400, "invalid_type"),
            (line(5, colour="blue"), 400, "unknown_parameter"),
            (line(6, [{"role": "king", "content": "x"}]), 400, "invalid_value"),
            (line(7, [{"role": "user"}]), 400, "invalid_type"),
            (line(8, user("x" * 600000)), 400, "context_length_exceeded"),
            (line(9, max_tokens=10**6), 400, "invalid_value"),
        ]
        for asked, status, code in bad:
            batch = sim.run([asked])
            self.assertEqual((batch["status"], batch["output_file_id"]), ("completed", None))
            (error,) = sim.lines(batch["error_file_id"])
            self.assertEqual(error["custom_id"], asked["custom_id"])
            self.assertEqual((error["response"]["status_code"], error["error"]), (status, None))
            self.assertEqual(error["response"]["body"]["error"]["code"], code)
            self.assertEqual(batch["request_counts"], {"total": 1, "completed": 0, "failed": 1})
        self.assertEqual(sim.invoice()["total_pico"], 0)

    def test_good_and_bad_lines_part_ways(self):
        sim = self.sim()
        batch = sim.run([line(1), line(2, temperature=-1), line(3)])
        output, errors = sim.outcome(batch)
        self.assertEqual({x["custom_id"] for x in output}, {"id-1", "id-3"})
        self.assertEqual({x["custom_id"] for x in errors}, {"id-2"})
        self.assertEqual(batch["request_counts"], {"total": 3, "completed": 2, "failed": 1})

    def test_a_bad_file_fails_the_batch(self):
        sim = self.sim("--max-requests", "5")
        good = line(1)
        cases = [
            ("invalid_json_line", 2, [good, '{"custom_id":\n']),
            ("invalid_json_line", 2, [good, "\n", line(2)]),
            ("duplicate_custom_id", 3, [good, line(2), line(1)]),
            ("url_mismatch", 1, [line(1, url="/v1/embeddings")]),
            ("invalid_method", 1, [line(1, method="GET")]),
            ("model_mismatch", 2, [good, line(2, model="gpt-4o")]),
            ("invalid_request", 1, [line(1, stream=True)]),
            ("missing_required_parameter", 1, [{"url": "/v1/chat/completions"}]),
            ("empty_file", None, []),
            ("too_many_tasks", None, [line(i) for i in range(6)]),
        ]
        for code, number, lines in cases:
            batch = sim.run(lines)
            self.assertEqual(batch["status"], "failed", code)
            error = batch["errors"]["data"][0]
            self.assertEqual((error["code"], error["line"]), (code, number))
            self.assertIsNone(batch["output_file_id"])
        message = "This line is not parseable as valid JSON."
        self.assertEqual(sim.run(["nonsense\n"])["errors"]["data"], [
            {"code": "invalid_json_line", "message": message, "param": None, "line": 1}])

    def test_bad_orders_are_refused(self):
        sim = self.sim()
        good = sim.upload(jsonl([line(1)])).json["id"]
        other = sim.upload(b"x", purpose="user_data").json["id"]
        cases = [
            ("input_file_id", "missing_required_parameter", {"input_file_id": None}),
            ("input_file_id", "invalid_value", {"input_file_id": "file-nope"}),
            ("input_file_id", "invalid_value", {"input_file_id": other}),
            ("endpoint", "missing_required_parameter", {"endpoint": None}),
            ("endpoint", "invalid_value", {"endpoint": "/v1/sing"}),
            ("endpoint", "invalid_value", {"endpoint": "/v1/moderations"}),
            ("completion_window", "invalid_value", {"completion_window": "48h"}),
            ("metadata", "invalid_value", {"metadata": {str(i): "x" for i in range(17)}}),
            ("metadata", "invalid_value", {"metadata": {"k" * 65: "x"}}),
            ("metadata", "invalid_value", {"metadata": {"k": "v" * 513}}),
            ("metadata", "invalid_value", {"metadata": {"k": 1}}),
            ("output_expires_after", "invalid_value",
             {"output_expires_after": {"anchor": "created_at", "seconds": 1}}),
        ]
        for param, code, change in cases:
            reply = sim.order(good, **change)
            error = reply.json["error"]
            self.assertEqual((reply.status, error["param"], error["code"]), (400, param, code))
            self.assertEqual(error["type"], "invalid_request_error")
        self.assertEqual(sim.call("POST", "/v1/batches", b"{nonsense").status, 400)
        most = {"k" * 64 if i == 0 else str(i): "v" * 512 for i in range(16)}
        self.assertEqual(sim.order(good, metadata=most).json["metadata"], most)

    def test_output_files_live_as_long_as_asked(self):
        sim = self.sim()
        for rule, lives in ((None, 2592000), ({"anchor": "created_at", "seconds": 7200}, 7200)):
            batch = sim.run([line(1)], output_expires_after=rule)
            output = sim.get(f"/v1/files/{batch['output_file_id']}").json
            self.assertEqual(output["expires_at"] - output["created_at"], lives)
            self.assertEqual(output["filename"], f"{batch['id']}_output.jsonl")

    def test_test_scripts_see_all_projects(self):
        sim = self.sim()
        ids = [sim.start([line(1)], key=k, metadata={"k": k}) for k in ("sk-a-1", "sk-b-1")]
        rows = sim.get("/sim/batches", None).json["data"]
        self.assertEqual([(r["project"], r["batch"]["id"]) for r in rows], list(zip("ab", ids)))
        self.assertEqual(sum(sim.stats()["batches"].values()), 2)

    def test_an_input_deleted_before_validation_fails_the_batch(self):
        sim = self.sim("--validate-seconds", "3000")
        file_id = sim.upload(jsonl([line(1)])).json["id"]
        batch_id = sim.order(file_id).json["id"]
        sim.call("DELETE", f"/v1/files/{file_id}")
        batch = sim.wait(batch_id)
        self.assertEqual((batch["status"], batch["errors"]["data"][0]["code"]),
                         ("failed", "file_not_found"))

    def test_too_many_enqueued_tokens_fail_late(self):
        sim = self.sim("--enqueued-tokens", "1000", "--hold")
        lines = [line(i, user("x" * 400)) for i in range(6)]  # about 660 tokens
        first = sim.start(lines)
        sim.wait(first, {"in_progress"})
        second = sim.wait(sim.start(lines))
        self.assertEqual(second["status"], "failed")
        self.assertEqual(second["errors"]["data"][0]["code"], "token_limit_exceeded")
        other_model = [line(i, user("x" * 400), model="gpt-4.1-nano") for i in range(6)]
        other = sim.start(other_model)
        other_project = sim.start(lines, key="sk-beta-1")
        sim.call("POST", "/sim/go", key=None)
        self.assertEqual(sim.wait(other)["status"], "completed", "each model has its own")
        self.assertEqual(sim.wait(other_project, key="sk-beta-1")["status"], "completed")
        sim.wait(first)
        self.assertEqual(sim.run(lines)["status"], "completed", "room again")

    def test_batches_are_held_until_somebody_says_go(self):
        sim = self.sim("--hold", "--batch-seconds", "1")
        batch_id = sim.start([line(i) for i in range(3)])
        sim.until(lambda: sim.batch(batch_id)["request_counts"]["completed"] == 3)
        time.sleep(0.1)  # it would need 4 ms
        self.assertEqual(sim.batch(batch_id)["status"], "in_progress")
        sim.call("POST", "/sim/go", key=None)
        self.assertEqual(sim.wait(batch_id)["status"], "completed")
        self.assertEqual(sim.run([line(4)])["status"], "completed")

    def test_cancelling_keeps_and_bills_what_is_done(self):
        sim = self.sim("--batch-seconds", "100000", "--cancel-seconds", "100")
        lines = [line(i) for i in range(400)]
        batch_id = sim.start(lines)
        while sim.batch(batch_id)["request_counts"]["completed"] < 8:
            time.sleep(0.01)
        self.assertEqual(sim.call("POST", f"/v1/batches/{batch_id}/cancel").json["status"],
                         "cancelling")
        batch = sim.wait(batch_id)
        self.assertEqual(batch["status"], "cancelled")
        self.assertGreaterEqual(batch["cancelled_at"] - batch["cancelling_at"], 100)
        output, errors = sim.outcome(batch)
        self.assertEqual({x["custom_id"] for x in output} | {x["custom_id"] for x in errors},
                         {x["custom_id"] for x in lines})
        self.assertEqual(len(output) + len(errors), 400)
        self.assertTrue(0 < len(output) < 400)
        self.assertEqual({x["error"]["code"] for x in errors}, {"batch_cancelled"})
        self.assertTrue(all(x["response"] is None for x in errors))
        self.assertEqual(sim.invoice()["requests"], len(output))
        again = sim.call("POST", f"/v1/batches/{batch_id}/cancel")
        self.assertEqual(again.status, 409)

    def test_cancelled_while_validating_it_has_no_files(self):
        sim = self.sim("--validate-seconds", "10000")
        batch_id = sim.start([line(1)])
        sim.call("POST", f"/v1/batches/{batch_id}/cancel")
        batch = sim.wait(batch_id)
        self.assertEqual((batch["status"], batch["output_file_id"], batch["error_file_id"]),
                         ("cancelled", None, None))

    def test_what_is_not_done_in_a_day_expires(self):
        sim = self.sim("--batch-seconds", "172800", speed=200000)
        batch = sim.run([line(i) for i in range(400)])
        self.assertEqual(batch["status"], "expired")
        self.assertEqual(batch["expired_at"], batch["expires_at"])
        output, errors = sim.outcome(batch)
        self.assertTrue(150 < len(output) < 250, len(output))
        self.assertEqual(len(output) + len(errors), 400)
        self.assertEqual({x["error"]["code"] for x in errors}, {"batch_expired"})
        self.assertEqual(sim.invoice()["requests"], len(output))

    def test_the_list_is_newest_first_in_pages(self):
        sim = self.sim()
        file_id = sim.upload(jsonl([line(1)])).json["id"]
        ids = [sim.order(file_id).json["id"] for _ in range(25)][::-1]
        page = sim.get("/v1/batches").json
        self.assertEqual([b["id"] for b in page["data"]], ids[:20])
        self.assertTrue(page["has_more"])
        page = sim.get(f"/v1/batches?after={page['last_id']}").json
        self.assertEqual([b["id"] for b in page["data"]], ids[20:])
        self.assertFalse(page["has_more"])
        self.assertEqual(len(sim.get("/v1/batches?limit=100").json["data"]), 25)
        for bad in ("limit=0", "limit=101"):
            self.assertEqual(sim.get(f"/v1/batches?{bad}").status, 400)
        self.assertEqual(sim.get("/v1/batches?after=batch_nope").status, 404)

    def test_the_list_lags(self):
        slow, quick = (self.sim("--list-lag", "400", speed=speed) for speed in (1, 1000))
        batch_id = slow.start([line(1)])
        self.assertEqual(slow.get("/v1/batches").json["data"], [])
        self.assertEqual(slow.batch(batch_id)["id"], batch_id)
        batch_id = quick.start([line(1)])
        time.sleep(0.45)
        self.assertEqual([b["id"] for b in quick.get("/v1/batches").json["data"]], [batch_id])

    def test_twenty_thousand_lines_leave_the_server_responsive(self):
        sim = self.sim("--batch-seconds", "1")
        batch_id = sim.start([line(i, max_tokens=20) for i in range(20000)])
        seen = set()
        while True:
            batch = sim.batch(batch_id)
            seen.add(batch["request_counts"]["completed"])
            if batch["status"] in FINAL:
                break
        self.assertEqual(batch["request_counts"], {"total": 20000, "completed": 20000, "failed": 0})
        self.assertGreater(len(seen), 5, "answers in the middle of its work")


class Access(Base):
    def test_only_good_keys_come_in(self):
        sim = self.sim()
        for key, code in (("sk-wrong-1", "invalid_api_key"), ("sk-wrong", "invalid_api_key"), (None, None)):
            reply = sim.get("/v1/batches", key)
            self.assertEqual((reply.status, reply.code), (401, code))
        self.assertEqual(sim.get("/v1/models").status, 200)

    def test_a_project_sees_only_its_own(self):
        sim = self.sim()
        file_id = sim.upload(jsonl([line(1)])).json["id"]
        batch_id = sim.order(file_id).json["id"]
        done = sim.wait(batch_id)
        for key, sees in (("sk-acme-2", True), ("sk-beta-1", False), ("sk-other", False)):
            paths = [f"/v1/files/{file_id}", f"/v1/batches/{batch_id}",
                     f"/v1/files/{done['output_file_id']}/content"]
            self.assertEqual([sim.get(p, key).status for p in paths], [200 if sees else 404] * 3)
            lists = [sim.get(p, key).json["data"] for p in ("/v1/files", "/v1/batches")]
            self.assertEqual([bool(x) for x in lists], [sees, sees])
        self.assertEqual(sim.order(file_id, key="sk-beta-1").status, 400)
        self.assertEqual(sim.call("POST", f"/v1/batches/{batch_id}/cancel", key="sk-beta-1").status, 404)
        self.assertEqual(sim.call("DELETE", f"/v1/files/{file_id}", key="sk-beta-1").status, 404)

    def test_unknown_addresses_and_methods(self):
        sim = self.sim()
        self.assertEqual(sim.get("/v1/nothing").status, 404)
        self.assertEqual(sim.call("DELETE", "/v1/batches").status, 405)
        self.assertEqual(sim.get("/v1/batches/batch_nope").status, 404)


class Chat(Base):
    def test_the_digest_is_that_of_the_messages_received(self):
        sim = self.sim()
        awkward = [
            user("plain"),
            user('quote " backslash \\ slash / tab \t newline \n bell \x07 del \x7f nul \x00'),
            user("Grüße, 世界, 🚀, e\u0301, \u2028, \ufeff, \ue000"),
            [{"role": "system", "content": "s"}, {"content": "keys in another order", "role": "user"}],
            [{"role": "user", "content": [{"type": "text", "text": "part"}, {"type": "text", "text": ""}]}],
            [{"role": "user", "content": "n", "x": [0, -1, 2**53 + 1, 1.0, 0.1, 1e16, 1e15, 1.5e-7,
                                                    -0.0, 123456.789, 1e-4, 0.00012, 1e100, 5e-324, 1e22]}],
            [{"role": "user", "content": "t", "z": {"b": None, "a": True, "Z": False, "é": [], "": {}}}],
        ]
        for messages in awkward:
            reply = sim.chat(messages)
            self.assertEqual(reply.status, 200, reply.body)
            said = reply.json["choices"][0]["message"]["content"]
            self.assertIn("sha256:" + digest(messages), said, messages)

    def test_the_reply_has_the_documented_shape(self):
        sim = self.sim()
        reply = sim.chat(user("hello"))
        body = reply.json
        self.assertEqual(set(body), {"id", "object", "created", "model", "choices", "service_tier",
                                     "system_fingerprint", "usage"})
        self.assertEqual((body["object"], body["model"], body["service_tier"]),
                         ("chat.completion", "gpt-4o-mini-2024-07-18", "default"))
        (choice,) = body["choices"]
        self.assertEqual((choice["index"], choice["finish_reason"], choice["logprobs"]), (0, "stop", None))
        self.assertEqual((choice["message"]["role"], choice["message"]["refusal"]), ("assistant", None))
        usage = body["usage"]
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])
        for name in ("x-request-id", "x-ratelimit-limit-requests", "x-ratelimit-remaining-tokens",
                     "x-ratelimit-reset-requests"):
            self.assertIn(name, reply.headers)

    def test_tokens_never_exceed_bytes_and_limits(self):
        sim = self.sim()
        for text in ("", "x", "some words " * 50, "世界" * 100):
            for limit in (1, 5, 30, 200):
                messages = [{"role": "system", "content": "s"}, *user(text)]
                body = sim.chat(messages, max_tokens=limit).json
                usage, choice = body["usage"], body["choices"][0]
                self.assertGreaterEqual(usage["prompt_tokens"], 1)
                self.assertLessEqual(usage["prompt_tokens"], len(canonical(messages).encode()))
                self.assertLessEqual(usage["completion_tokens"], limit)
                self.assertIn(digest(messages), choice["message"]["content"])
                if limit < 8:
                    self.assertEqual(choice["finish_reason"], "length")

    def test_reasoning_models_count_reasoning_and_refuse_max_tokens(self):
        sim = self.sim()
        usage = sim.chat(user("think"), model="gpt-5-mini", max_completion_tokens=100).json["usage"]
        reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
        self.assertTrue(0 < reasoning <= usage["completion_tokens"] <= 100)
        refused = sim.chat(user("think"), model="gpt-5-mini", max_tokens=100)
        self.assertEqual((refused.status, refused.code, refused.json["error"]["param"]),
                         (400, "unsupported_parameter", "max_tokens"))
        self.assertEqual(sim.chat(user("x"), model="gpt-5-mini", temperature=0).code, "unsupported_value")

    def test_several_choices_and_json(self):
        sim = self.sim()
        body = sim.chat(user("x"), n=3, max_tokens=30).json
        self.assertEqual([c["index"] for c in body["choices"]], [0, 1, 2])
        self.assertLessEqual(body["usage"]["completion_tokens"], 90)
        for form in ({"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "a"}}):
            said = sim.chat(user("x"), response_format=form).json["choices"][0]["message"]["content"]
            self.assertEqual(json.loads(said)["sha256"], digest(user("x")))

    def test_the_same_question_gets_the_same_answer(self):
        texts = []
        for seed in ("1", "2"):
            with Sim("--seed", seed) as sim:
                texts.append(sim.chat(user("same")).json["choices"][0]["message"]["content"])
        self.assertEqual(texts[0], texts[1])

    def test_bad_requests(self):
        sim = self.sim()
        self.assertEqual(sim.chat(user("x"), model="gpt-0").status, 404)
        self.assertEqual(sim.chat([]).code, "empty_array")
        self.assertEqual(sim.chat(user("x"), top_p=2).status, 400)
        self.assertEqual(sim.chat(user("x"), stream=True).status, 400)
        self.assertEqual(sim.chat(user("x"), service_tier="soon").status, 400)
        for body in (b"", b"[]", b"{nonsense", b'{"model":1}', b'{"model":"gpt-4o-mini","seed":1e999}',
                     b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"\xff"}]}'):
            self.assertEqual(sim.call("POST", "/v1/chat/completions", body).status, 400, body)

    def test_requests_per_minute(self):
        sim = self.sim("--rpm", "3")
        replies = [sim.chat(user("x")) for _ in range(4)]
        self.assertEqual([r.status for r in replies], [200, 200, 200, 429])
        self.assertEqual([r.headers["x-ratelimit-remaining-requests"] for r in replies],
                         ["2", "1", "0", "0"])
        self.assertEqual((replies[3].code, replies[3].headers["retry-after"]),
                         ("rate_limit_exceeded", "1"))
        self.assertRegex(replies[3].headers["x-ratelimit-reset-requests"], r"^(\d+m\d+s|[\d.]+m?s)$")
        self.assertEqual(sim.chat(user("x"), key="sk-beta-1").status, 200)

    def test_tokens_per_minute_count_the_limit_asked_for(self):
        sim = self.sim("--tpm", "1000")
        self.assertEqual(sim.chat(user("x"), max_tokens=900).status, 200)
        self.assertEqual(sim.chat(user("x"), max_tokens=900).status, 429)
        self.assertEqual(sim.chat(user("x"), max_tokens=10).status, 200)


class PromptCache(Base):
    long = "A long and shared instruction. " * 400  # about 3,100 tokens

    def cached(self, sim, tail, prefix=None, **more):
        messages = [{"role": "system", "content": prefix or self.long}, *user(tail)]
        return sim.chat(messages, **more).json["usage"]["prompt_tokens_details"]["cached_tokens"]

    def test_a_prefix_is_readable_only_some_time_after_its_first_request(self):
        slow, quick = (self.sim("--cache-ready", "300", "--cache-ttl", "1e6", speed=speed)
                       for speed in (1, 1000))
        self.assertEqual([self.cached(slow, "a"), self.cached(slow, "b")], [0, 0])
        self.assertEqual(self.cached(quick, "a"), 0)
        time.sleep(0.35)
        hit = self.cached(quick, "b")
        self.assertGreater(hit, 2900)
        self.assertEqual(hit % 128, 0)

    def test_short_prompts_other_keys_and_models_share_nothing(self):
        sim = self.sim("--cache-ready", "0", "--cache-ttl", "1e6")
        short = "short. " * 400
        self.assertEqual([self.cached(sim, x, short) for x in "ab"], [0, 0])
        self.assertEqual(self.cached(sim, "a"), 0)
        self.assertGreater(self.cached(sim, "b"), 0)
        self.assertEqual(self.cached(sim, "c", prompt_cache_key="k"), 0)
        self.assertEqual(self.cached(sim, "d", key="sk-beta-1"), 0)
        self.assertEqual(self.cached(sim, "e", model="gpt-4.1-nano"), 0)
        self.assertEqual(self.cached(sim, "f", "B" + self.long), 0)

    def test_an_unused_prefix_is_forgotten(self):
        slow, quick = (self.sim("--cache-ready", "0", "--cache-ttl", "300", speed=speed)
                       for speed in (1, 1000))
        self.cached(slow, "a")
        self.assertGreater(self.cached(slow, "b"), 0)
        self.cached(quick, "a")
        time.sleep(0.35)
        self.assertEqual(self.cached(quick, "b"), 0)

    def test_explicit_mode_caches_up_to_a_breakpoint_or_nothing(self):
        sim = self.sim("--cache-ready", "0", "--cache-ttl", "1e6")
        options = {"prompt_cache_options": {"mode": "explicit"}, "model": "gpt-6-luna"}
        self.assertEqual([self.cached(sim, x, **options) for x in "ab"], [0, 0])
        part = {"type": "text", "text": self.long, "prompt_cache_breakpoint": {"mode": "explicit"}}
        self.cached(sim, "a", [part], **options)
        self.assertGreater(self.cached(sim, "b", [part], **options), 2900)

    def test_lines_of_a_batch_that_start_together_do_not_help_each_other(self):
        sim = self.sim("--concurrency", "4", "--batch-seconds", "40")
        lines = [line(i, [{"role": "system", "content": self.long}, *user(f"q{i}")]) for i in range(12)]
        output, _ = sim.outcome(sim.run(lines))
        hits = {x["custom_id"]: x["response"]["body"]["usage"]["prompt_tokens_details"]["cached_tokens"]
                for x in output}
        self.assertEqual([hits[f"id-{i}"] > 0 for i in range(12)], [False] * 4 + [True] * 8)


class Money(Base):
    def test_the_invoice_is_the_sum_of_all_answers(self):
        sim = self.sim("--cache-ready", "0")
        total, requests = 0, 0
        for model in PRICES:
            lines = [line(i, [{"role": "system", "content": PromptCache.long}, *user(f"q{i % 30}")],
                          model=model) for i in range(40)]
            output, errors = sim.outcome(sim.run(lines))
            self.assertEqual((len(output), errors), (40, []))
            for x in output:
                body = x["response"]["body"]
                total += cost(body["model"], body["usage"], half=True)
            for i in range(5):
                body = sim.chat(user(f"sync {i}"), model=model).json
                total += cost(body["model"], body["usage"], half=False)
            requests += 45
        flex = sim.chat(user("slow"), model="gpt-5-mini", service_tier="flex").json
        self.assertEqual(flex["service_tier"], "flex")
        total += cost(flex["model"], flex["usage"], half=True)
        invoice = sim.invoice()
        self.assertEqual(invoice["total_pico"], total)
        self.assertEqual(invoice["total_usd"], f"{total // 10**12}.{total % 10**12:012d}")
        self.assertEqual(invoice["requests"], requests + 1)
        self.assertEqual(invoice["requests_billed_twice"], 10 * len(PRICES))
        self.assertGreater(invoice["tokens"]["cached"], 0)
        self.assertGreater(invoice["tokens"]["cache_write"], 0)
        self.assertEqual(sum(m["total_pico"] for m in invoice["by_model"].values()), total)

    def test_a_body_is_the_same_whatever_its_layout_but_not_in_another_project(self):
        sim = self.sim()
        kind = {"Content-Type": "application/json"}
        for body in ('{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}]}',
                     '{ "messages": [{"content": "\\u0078", "role": "user"}], "model": "gpt-4o-mini" }'):
            sim.call("POST", "/v1/chat/completions", body, headers=kind)
        self.assertEqual(sim.invoice()["requests_billed_twice"], 1)
        sim.chat(user("y"))
        sim.chat(user("y"), key="sk-beta-1")
        self.assertEqual(sim.invoice()["requests_billed_twice"], 1)

    def test_a_long_prompt_costs_the_long_price(self):
        sim = self.sim()
        usage = sim.chat(user("word " * 230000), model="gpt-5.4").json["usage"]
        self.assertGreater(usage["prompt_tokens"], 272000)
        self.assertEqual(sim.invoice()["total_pico"],
                         usage["prompt_tokens"] * 5000000 + usage["completion_tokens"] * 22500000)

    def test_dated_ids_are_priced_as_their_model(self):
        sim = self.sim()
        usage = sim.chat(user("x"), model="gpt-4o-mini-2024-07-18").json["usage"]
        self.assertEqual(sim.invoice()["total_pico"], cost("gpt-4o-mini", usage, half=False))
        self.assertEqual(sim.chat(user("x"), model="gpt-4o-mini-2023-01-01").status, 404)


class RequestFaults(Base):
    def count(self, sim, path):
        return len(sim.get(path).json["data"])

    def test_drop_before_does_nothing_and_drop_after_does_it(self):
        sim = self.sim(faults=[{"on": "files.create", "do": "drop_before"},
                               {"on": "batches.create", "do": "drop_after"}])
        self.dropped(lambda: sim.upload(jsonl([line(1)])))
        self.assertEqual(self.count(sim, "/v1/files"), 0)
        file_id = sim.upload(jsonl([line(1)])).json["id"]
        self.dropped(lambda: sim.order(file_id, metadata={"key": "K"}))
        (batch,) = sim.get("/v1/batches").json["data"]
        self.assertEqual(batch["metadata"], {"key": "K"})
        self.assertEqual(sim.stats()["dropped"], 2)

    def test_status_before_and_after(self):
        sim = self.sim(faults=[
            {"on": "batches.create", "do": "status", "status": 503},
            {"on": "batches.create", "nth": 2, "do": "status", "status": 502, "after": True},
            {"on": "chat", "do": "status", "status": 429, "code": "slow_down", "message": "wait",
             "retry_after": 7}])
        file_id = sim.upload(jsonl([line(1)])).json["id"]
        self.assertEqual(sim.order(file_id).status, 503)
        self.assertEqual(self.count(sim, "/v1/batches"), 0)
        self.assertEqual(sim.order(file_id).status, 502)
        self.assertEqual(self.count(sim, "/v1/batches"), 1)
        self.assertEqual(sim.order(file_id).status, 200)
        reply = sim.chat(user("x"))
        self.assertEqual((reply.status, reply.code, reply.headers["retry-after"]), (429, "slow_down", "7"))
        self.assertEqual(reply.json["error"]["message"], "wait")

    def test_slow_holds_the_reply_and_blocks_nobody(self):
        sim = self.sim(faults=[{"on": "batches.list", "count": 0, "do": "slow", "ms": 3000}])
        took = []

        def ask():
            start = time.monotonic()
            sim.get("/v1/batches")
            took.append(time.monotonic() - start)

        threads = [threading.Thread(target=ask) for _ in range(20)]
        start = time.monotonic()
        for t in threads:
            t.start()
        sim.get("/v1/files")
        self.assertEqual(took, [], "before any of them")
        for t in threads:
            t.join()
        self.assertGreaterEqual(min(took), 3)
        self.assertLess(time.monotonic() - start, 20 * 3, "side by side")

    def test_late_acts_after_the_client_has_gone(self):
        sim = self.sim(faults=[{"on": "batches.create", "do": "late", "ms": 4000}])
        file_id = sim.upload(jsonl([line(1)])).json["id"]
        body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        with self.assertRaises((socket.timeout, TimeoutError)):
            sim.call("POST", "/v1/batches", body, timeout=0.1)
        self.assertEqual(self.count(sim, "/v1/batches"), 0)
        sim.until(lambda: self.count(sim, "/v1/batches") == 1)

    def test_truncate_cuts_the_body_short(self):
        sim = self.sim(faults=[{"on": "files.content", "do": "truncate", "bytes": 1000},
                               {"on": "batches.list", "do": "truncate", "bytes": 5}])
        file_id = sim.upload(b"x" * 5000, purpose="user_data").json["id"]
        with self.assertRaises(http.client.IncompleteRead) as cut:
            sim.get(f"/v1/files/{file_id}/content")
        self.assertEqual((len(cut.exception.partial), cut.exception.expected), (1000, 4000))
        self.assertEqual(len(sim.get(f"/v1/files/{file_id}/content").body), 5000)
        with self.assertRaises(http.client.IncompleteRead):
            sim.get("/v1/batches")

    def test_list_lag_of_one_batch_and_of_one_reply(self):
        faults = [{"on": "batches.create", "do": "list_lag", "seconds": 400},
                  {"on": "files.list", "do": "list_lag", "seconds": 400}]
        slow, quick = (self.sim(faults=faults, speed=speed) for speed in (1, 1000))
        _, second = slow.start([line(1)]), slow.start([line(2)])
        self.assertEqual([b["id"] for b in slow.get("/v1/batches").json["data"]], [second])
        self.assertEqual(self.count(slow, "/v1/files"), 0)
        self.assertGreaterEqual(self.count(slow, "/v1/files"), 2)
        first, second = quick.start([line(1)]), quick.start([line(2)])
        time.sleep(0.45)
        self.assertEqual([b["id"] for b in quick.get("/v1/batches").json["data"]], [second, first])

    def test_a_key_is_revoked_and_another_goes_on(self):
        sim = self.sim(faults=[{"on": "batches.list", "nth": 2, "do": "revoke_key", "key": "sk-acme-1"}])
        self.assertEqual([sim.get("/v1/batches").status for _ in range(3)], [200, 401, 401])
        self.assertEqual(sim.get("/v1/files").code, "invalid_api_key")
        self.assertEqual(sim.get("/v1/batches", "sk-acme-2").status, 200)

    def test_a_quota_is_exhausted_for_a_while(self):
        sim = self.sim(faults=[{"on": "batches.create", "do": "quota", "for_seconds": 3}])
        file_id = sim.upload(jsonl([line(1)])).json["id"]
        reply = sim.order(file_id)
        self.assertEqual((reply.status, reply.code), (429, "insufficient_quota"))
        self.assertEqual(reply.json["error"]["type"], "insufficient_quota")
        self.assertNotIn("retry-after", reply.headers)
        self.assertEqual(sim.chat(user("x")).status, 429)
        self.assertEqual(sim.get("/v1/batches").status, 200, "looking is free")
        sim.until(lambda: sim.order(file_id).status == 200)

    def test_nth_count_and_p(self):
        sim = self.sim(faults=[{"on": "models.list", "nth": 3, "count": 2, "do": "status", "status": 500},
                               {"on": "files.list", "count": 0, "p": 0.5, "do": "status", "status": 500}])
        self.assertEqual([sim.get("/v1/models").status for _ in range(6)], [200, 200, 500, 500, 200, 200])
        failed = sum(sim.get("/v1/files").status == 500 for _ in range(100))
        self.assertTrue(25 < failed < 75, failed)
        rules = sim.stats()["faults"]
        self.assertEqual(rules[0], {"on": "models.list", "do": "status", "seen": 6, "fired": 2})
        self.assertEqual((rules[1]["seen"], rules[1]["fired"]), (100, failed))

    def test_chat_answers_can_be_refused_filtered_or_without_usage(self):
        sim = self.sim(faults=[{"on": "chat", "nth": 1, "do": "refuse"}, {"on": "chat", "nth": 2, "do": "filter"},
                               {"on": "chat", "nth": 3, "do": "no_usage"}])
        refused, filtered, unknown = (sim.chat(user(f"{i}")).json for i in range(3))
        self.assertIsNone(refused["choices"][0]["message"]["content"])
        self.assertTrue(refused["choices"][0]["message"]["refusal"])
        self.assertEqual(filtered["choices"][0]["finish_reason"], "content_filter")
        self.assertIsNone(unknown["usage"])
        self.assertEqual(sim.invoice()["requests"], 3)

    def test_plain_questions_are_held_until_somebody_says_go(self):
        sim = self.sim("--hold")
        answers = []
        asked = threading.Thread(target=lambda: answers.append(sim.chat(user("x"), max_tokens=5)))
        asked.start()
        sim.until(lambda: sim.stats()["operations"].get("chat"))
        self.assertEqual(sim.get("/v1/models").status, 200, "only questions are held")
        asked.join(0.3)
        self.assertEqual(answers, [])
        self.assertEqual(sim.call("POST", "/sim/go", key=None).status, 200)
        asked.join(20)
        self.assertEqual([a.status for a in answers], [200])
        self.assertEqual(sim.chat(user("y"), max_tokens=5).status, 200)
        self.assertEqual(sim.call("POST", "/sim/hold", key=None).status, 200)
        with self.assertRaises((socket.timeout, TimeoutError)):
            sim.call("POST", "/v1/chat/completions",
                     {"model": "gpt-4o-mini", "messages": user("z")}, timeout=0.3)

    def test_latency(self):
        sim = self.sim("--latency-ms", "150")
        start = time.monotonic()
        sim.get("/v1/models")
        self.assertGreaterEqual(time.monotonic() - start, 0.15)


class BatchFaults(Base):
    def test_expire(self):
        sim = self.sim(faults=[{"on": "batch", "do": "expire", "share": 0.25}])
        batch = sim.run([line(i) for i in range(40)])
        output, errors = sim.outcome(batch)
        self.assertEqual((batch["status"], len(output), len(errors)), ("expired", 10, 30))
        self.assertEqual(sim.invoice()["requests"], 10)
        self.assertEqual(sim.run([line(1)])["status"], "completed", "only the first")

    def test_cancel(self):
        sim = self.sim(faults=[{"on": "batch", "do": "cancel", "share": 0.5}])
        batch = sim.run([line(i) for i in range(40)])
        output, errors = sim.outcome(batch)
        self.assertEqual((batch["status"], len(output), len(errors)), ("cancelled", 20, 20))

    def test_fail(self):
        sim = self.sim(faults=[{"on": "batch", "do": "fail", "code": "token_limit_exceeded", "message": "no"}])
        batch = sim.run([line(1)])
        self.assertEqual((batch["status"], batch["errors"]["data"]), (
            "failed", [{"code": "token_limit_exceeded", "message": "no", "param": None, "line": None}]))

    def test_stall(self):
        sim = self.sim("--batch-seconds", "10", faults=[{"on": "batch", "do": "stall", "seconds": 300}])
        batch = sim.run([line(1)])
        self.assertEqual(batch["status"], "completed")
        self.assertGreaterEqual(batch["finalizing_at"] - batch["in_progress_at"], 310)


class LineFaults(Base):
    def run_with(self, *faults, n=5):
        sim = self.sim(faults=[{"on": "line", "nth": 2, **f} for f in faults])
        batch = sim.run([line(i) for i in range(1, n + 1)])
        self.assertEqual(batch["status"], "completed")
        return sim, batch

    def test_error(self):
        sim, batch = self.run_with({"do": "error", "status": 429, "code": "rate_limit_exceeded"})
        output, (error,) = sim.outcome(batch)
        self.assertEqual((len(output), error["custom_id"], error["response"]["status_code"]), (4, "id-2", 429))
        self.assertEqual(error["response"]["body"]["error"]["code"], "rate_limit_exceeded")
        self.assertEqual(sim.invoice()["requests"], 4)

    def test_omit(self):
        for billed in (True, False):
            sim, batch = self.run_with({"do": "omit", "billed": billed})
            output, errors = sim.outcome(batch)
            self.assertNotIn("id-2", {x["custom_id"] for x in output})
            self.assertEqual((len(output), errors, batch["request_counts"]["completed"]), (4, [], 5))
            self.assertEqual(sim.invoice()["requests"], 5 if billed else 4)

    def test_duplicate(self):
        sim, batch = self.run_with({"do": "duplicate"})
        output, _ = sim.outcome(batch)
        self.assertEqual(sorted(x["custom_id"] for x in output), ["id-1", "id-2", "id-2", "id-3", "id-4", "id-5"])
        self.assertEqual(sim.invoice()["requests"], 5)
        self.assertEqual(sim.invoice()["requests_billed_twice"], 0)

    def test_refuse_filter_and_no_usage(self):
        sim, batch = self.run_with({"do": "refuse"}, {"do": "filter"}, {"do": "no_usage"})
        output, _ = sim.outcome(batch)
        body = {x["custom_id"]: x["response"]["body"] for x in output}
        self.assertIsNone(body["id-2"]["choices"][0]["message"]["content"])
        self.assertIn(digest(user("question 2")), body["id-2"]["choices"][0]["message"]["refusal"])
        self.assertEqual(body["id-3"]["choices"][0]["finish_reason"], "content_filter")
        self.assertIsNone(body["id-4"]["usage"])
        self.assertEqual(sim.invoice()["requests"], 5)

    def test_bad_json_and_unknown_id(self):
        sim, batch = self.run_with({"do": "bad_json"}, {"do": "unknown_id"})
        content = sim.get(f"/v1/files/{batch['output_file_id']}/content").body
        good, bad = [], 0
        for raw in content.splitlines():
            try:
                good.append(json.loads(raw)["custom_id"])
            except ValueError:
                bad += 1
        self.assertEqual((sorted(good), bad), (["id-1", "id-3", "id-4", "id-5", "unknown-to-you"], 1))


class Program(Base):
    def refuses(self, *arguments):
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 2, done.stderr)
        return done.stderr

    def test_every_example_of_the_readme_is_a_valid_script(self):
        text = (HERE / "README.md").read_text()
        examples = [x for block in re.findall(r"```json\n(.*?)```", text, re.S) for x in block.splitlines()]
        rules = [json.loads(x) for x in examples]
        source = (HERE / "fault_rule.c").read_text()
        actions = set(re.findall(r'\[DO_\w+\]\s*=\s*\{\s*"(\w+)"', source))
        self.assertEqual({r["do"] for r in rules}, actions)
        sim = self.sim(faults=rules)
        self.assertEqual(len(sim.stats()["faults"]), len(rules))

    def test_a_bad_fault_script_is_refused_with_file_and_line(self):
        cases = [
            ('{"on":"chat","do":"dance"}', "unknown action 'dance'"),
            ('{"on":"lunch","do":"slow","ms":1}', "unknown operation 'lunch'"),
            ('{"on":"chat","do":"slow","ms":1,"colour":"red"}', "unknown key 'colour'"),
            ('{"on":"chat","do":"slow"}', "'slow' needs another key"),
            ('{"on":"chat","do":"slow","ms":-1}', "'ms' has a value"),
            ('{"on":"chat","do":"slow","ms":1,"share":0.1}', "does not take"),
            ('{"on":"chat","do":"omit"}', "'omit' cannot be done on 'chat'"),
            ("nonsense", "not a JSON object"),
            ("[]", "not a JSON object"),
        ]
        for text, why in cases:
            with tempfile.NamedTemporaryFile("w") as script:
                script.write('# a comment\n\n{"on":"chat","do":"drop_after"}\n' + text + "\n")
                script.flush()
                said = self.refuses("--faults", script.name)
                self.assertIn(f"{script.name}:4: ", said)
                self.assertIn(why, said)

    def test_bad_options_are_refused(self):
        self.assertIn("unknown option '--fast'", self.refuses("--fast"))
        self.assertIn("could not use --speed 'x'", self.refuses("--speed", "x"))
        self.assertIn("could not use --speed '0'", self.refuses("--speed=0"))
        self.assertIn("needs a value", self.refuses("--listen"))
        self.assertIn("could not read '/nonexistent'", self.refuses("--faults", "/nonexistent"))

    def test_a_folder_of_ones_own_keeps_the_bodies(self):
        with tempfile.TemporaryDirectory() as folder:
            with Sim("--dir", folder) as sim:
                file_id = sim.upload(b"{}\n").json["id"]
            self.assertEqual(pathlib.Path(folder, file_id).read_bytes(), b"{}\n")

    def test_help(self):
        done = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 0)
        for name in ("--listen", "--port-file", "--speed", "--faults", "--latency-ms"):
            self.assertIn(name, done.stdout)

    def test_it_ends_at_once_with_replies_pending_and_batches_running(self):
        sim = Sim("--batch-seconds", "100000", faults=[{"on": "models.list", "count": 0, "do": "slow", "ms": 60000}])
        sim.start([line(i) for i in range(50)])

        def wait():
            try:
                sim.get("/v1/models")
            except (http.client.HTTPException, OSError):
                pass  # it may be cut off

        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.1)
        start = time.monotonic()
        sim.__exit__()
        self.assertLess(time.monotonic() - start, 30)
        waiting.join()

    def test_two_hundred_clients_at_once(self):
        sim = self.sim()
        statuses = []

        def ask(i):
            statuses.append(sim.chat(user(f"client {i}")).status)

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(200)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(statuses, [200] * 200)
        self.assertEqual(sim.invoice()["requests"], 200)

    def test_however_many_requests_come_at_the_same_moment_none_waits(self):
        """A stopped simulator finds `n` requests at once when it goes on, for each n."""
        sim = self.sim()
        request = b"GET /none HTTP/1.1\r\nHost: sim\r\n\r\n"
        clients = [socket.create_connection(("127.0.0.1", sim.port)) for _ in range(256)]
        for client in clients:
            self.addCleanup(client.close)
            client.settimeout(5)
        for n in range(128, len(clients) + 1):
            sim.process.send_signal(signal.SIGSTOP)
            for client in clients[:n]:
                client.sendall(request)
            sim.process.send_signal(signal.SIGCONT)
            for client in clients[:n]:
                try:
                    self.assertIn(b" 404 ", client.recv(4096))
                except TimeoutError:
                    self.fail(f"one of {n} requests got no reply")


if __name__ == "__main__":
    unittest.main()
