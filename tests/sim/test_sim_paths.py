#!/usr/bin/env python3
"""What offpeak-sim promises of /v1/responses and /v1/embeddings, one test a promise.

    OFFPEAK_SIM=build/bin/offpeak-sim python3 tests/sim/test_sim_paths.py [-v] [Class.test]
"""
import base64
import hashlib
import json
import struct
import unittest

import test_sim


def item(text):
    return {"role": "user", "content": text}


def said(response):
    (message,) = [x for x in response["output"] if x["type"] == "message"]
    (part,) = message["content"]
    return part.get("text") or part["refusal"]


def vector(asked, n):
    """What an embedding of that input is."""
    raw = hashlib.sha256(test_sim.canonical(asked).encode()).digest()
    return [raw[i % 32] / 128 - 1 for i in range(n)]


class Responses(test_sim.Base):
    def test_the_digest_is_that_of_instructions_and_input(self):
        sim = self.sim()
        for input, more in (("plain", {}), ("with", {"instructions": "Be brief, Grüße"}),
                            ([item("a"), item("b")], {"instructions": "x"}),
                            ([{"role": "user", "content": [{"type": "input_text", "text": "p"}]}], {}),
                            ([item("a"), {"type": "function_call_output", "call_id": "c", "output": "o"}], {})):
            reply = sim.ask("responses", "gpt-4o-mini", input, **more)
            self.assertEqual(reply.status, 200, reply.body)
            self.assertIn("sha256:" + test_sim.digest([more.get("instructions"), input]), said(reply.json))

    def test_the_reply_has_the_documented_shape(self):
        body = self.sim().ask("responses", "gpt-5-mini", "hello", max_output_tokens=200).json
        self.assertEqual((body["object"], body["status"], body["error"], body["incomplete_details"]),
                         ("response", "completed", None, None))
        self.assertEqual([x["type"] for x in body["output"]], ["reasoning", "message"])
        usage = body["usage"]
        self.assertEqual(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])
        self.assertTrue(0 < usage["output_tokens_details"]["reasoning_tokens"] <= usage["output_tokens"] <= 200)

    def test_an_answer_can_be_cut_or_json(self):
        sim = self.sim()
        replies = [sim.ask("responses", "gpt-5-mini", f"think {i}", max_output_tokens=50).json for i in range(20)]
        cut = [r for r in replies if r["status"] == "incomplete"]
        self.assertTrue(0 < len(cut))
        self.assertEqual({r["incomplete_details"]["reason"] for r in cut}, {"max_output_tokens"})
        self.assertTrue(all(r["usage"]["output_tokens"] <= 50 for r in replies))
        form = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}
        answer = json.loads(said(sim.ask("responses", "gpt-4o-mini", "x", text=form).json))
        self.assertEqual(answer["sha256"], test_sim.digest([None, "x"]))

    def test_bad_requests(self):
        sim = self.sim()
        for status, more in ((404, {"model": "gpt-0"}), (400, {"model": "text-embedding-3-small"}),
                             (400, {"input": []}), (400, {"input": None}), (400, {"input": [{"role": "cat"}]}),
                             (400, {"messages": []}), (400, {"instructions": 7}), (400, {"stream": True}),
                             (400, {"background": True}), (404, {"previous_response_id": "resp_1"}),
                             (400, {"max_output_tokens": 15}), (400, {"temperature": 3}),
                             (400, {"text": {"format": {"type": "xml"}}})):
            body = {"model": "gpt-4o-mini", "input": "x", **more}
            self.assertEqual(sim.call("POST", "/v1/responses", body).status, status, more)

    def test_instructions_are_a_cached_prefix(self):
        sim = self.sim("--cache-ready", "0")
        for i in range(2):
            usage = sim.ask("responses", "gpt-4o-mini", f"q{i}", instructions=test_sim.PromptCache.long).json["usage"]
        self.assertGreater(usage["input_tokens_details"]["cached_tokens"], 1000)

    def test_a_batch_of_them_is_answered_and_billed_half(self):
        sim = self.sim()
        lines = [{"custom_id": f"id-{i}", "method": "POST", "url": "/v1/responses",
                  "body": {"model": "gpt-4o-mini", "input": f"q{i}", "instructions": "S"}} for i in range(30)]
        lines.append({**lines[0], "custom_id": "bad", "body": {"model": "gpt-4o-mini"}})
        output, errors = sim.outcome(sim.run(lines, endpoint="/v1/responses"))
        total = 0
        for x in output:
            body = x["response"]["body"]
            self.assertIn(test_sim.digest(["S", "q" + x["custom_id"][3:]]), said(body))
            total += 75000 * body["usage"]["input_tokens"] + 300000 * body["usage"]["output_tokens"]
        self.assertEqual((len(output), [e["custom_id"] for e in errors]), (30, ["bad"]))
        self.assertEqual(sim.invoice()["total_pico"], total)

    def test_faults(self):
        sim = self.sim(faults=[{"on": "responses", "nth": 1, "do": "refuse"},
                               {"on": "responses", "nth": 2, "do": "filter"},
                               {"on": "responses", "nth": 3, "do": "no_usage"},
                               {"on": "responses", "nth": 4, "do": "break", "code": "server_error", "billed": False},
                               {"on": "responses", "nth": 5, "do": "break", "code": "invalid_prompt"}])
        refused, filtered, unknown, broken, billed = (
            sim.ask("responses", "gpt-5-mini", f"q{i}").json for i in range(5))
        self.assertEqual(refused["output"][1]["content"][0]["type"], "refusal")
        self.assertEqual(filtered["incomplete_details"], {"reason": "content_filter"})
        self.assertIsNone(unknown["usage"])
        self.assertEqual((broken["status"], broken["error"]["code"], broken["usage"]), ("failed", "server_error", None))
        self.assertEqual((billed["status"], billed["error"]["code"]), ("failed", "invalid_prompt"))
        self.assertGreater(billed["usage"]["output_tokens"], 0)
        self.assertEqual(sim.invoice()["requests"], 4)


class Embeddings(test_sim.Base):
    def test_a_vector_is_made_of_the_digest_of_its_input(self):
        sim = self.sim()
        for asked, inputs in (("Grüße ☃", ["Grüße ☃"]), (["a", "b", "a"], ["a", "b", "a"]),
                              ([5, 6, 7], [[5, 6, 7]]), ([[5], [6, 7]], [[5], [6, 7]])):
            reply = sim.ask("embeddings", "text-embedding-3-small", asked)
            self.assertEqual(reply.status, 200, reply.body)
            self.assertEqual([(x["index"], x["embedding"]) for x in reply.json["data"]],
                             [(i, vector(x, 1536)) for i, x in enumerate(inputs)])

    def test_the_same_numbers_in_base64(self):
        sim = self.sim()
        for n in (1, 2, 3, 40, 3072):
            text = sim.ask("embeddings", "text-embedding-3-large", "x", dimensions=n,
                           encoding_format="base64").json["data"][0]["embedding"]
            self.assertEqual(list(struct.unpack(f"<{n}f", base64.b64decode(text, validate=True))), vector("x", n))

    def test_only_the_input_is_billed(self):
        sim = self.sim()
        body = sim.ask("embeddings", "text-embedding-3-small", ["12345678", "1"], dimensions=4).json
        self.assertEqual(body["usage"], {"prompt_tokens": 3, "total_tokens": 3})
        self.assertEqual(sim.invoice()["total_pico"], 3 * 20000)
        lines = [{"custom_id": f"id-{i}", "method": "POST", "url": "/v1/embeddings",
                  "body": {"model": "text-embedding-ada-002", "input": [1, 2, 3, i]}} for i in range(9)]
        output, _ = sim.outcome(sim.run(lines, endpoint="/v1/embeddings"))
        for x in output:
            (row,) = x["response"]["body"]["data"]
            self.assertEqual(row["embedding"], vector([1, 2, 3, int(x["custom_id"][3:])], 1536))
        self.assertEqual(sim.invoice()["total_pico"], 3 * 20000 + 9 * 4 * 50000)

    def test_bad_requests(self):
        sim = self.sim()
        for status, more in ((404, {"model": "none"}), (403, {"model": "gpt-4o-mini"}), (400, {"input": ""}),
                             (400, {"input": []}), (400, {"input": ["a", ""]}), (400, {"input": ["a"] * 2049}),
                             (400, {"input": [-1]}), (400, {"input": None}), (400, {"dimensions": 1537}),
                             (400, {"dimensions": 0}), (400, {"encoding_format": "hex"}), (400, {"n": 1}),
                             (400, {"model": "text-embedding-ada-002", "dimensions": 8}),
                             (400, {"input": "word " * 8000}), (400, {"input": ["word " * 6000] * 50})):
            body = {"model": "text-embedding-3-small", "input": "x", **more}
            self.assertEqual(sim.call("POST", "/v1/embeddings", body).status, status, str(more)[:80])

    def test_a_batch_has_only_so_many_inputs(self):
        sim = self.sim("--max-requests", "6")
        def run(n):
            return sim.run([{"custom_id": f"id-{i}", "method": "POST", "url": "/v1/embeddings",
                             "body": {"model": "text-embedding-3-small", "input": ["a", "b", str(i)],
                                      "dimensions": 2}} for i in range(n)], endpoint="/v1/embeddings")
        self.assertEqual(run(2)["status"], "completed")
        self.assertEqual(run(3)["errors"]["data"][0]["code"], "too_many_inputs")


if __name__ == "__main__":
    unittest.main()
