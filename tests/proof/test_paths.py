#!/usr/bin/python3
"""One file with chats, responses and embeddings: each line its own answer, each question bought once.

    tests/proof/test_paths.py

A first night with every path mixed and half of the questions asked twice, a second night that
buys nothing, and a night in which responses fail inside a status of 200.
"""
import collections
import hashlib
import json
import sys

import lib

SYSTEM = "You sort products into shelves."
PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings")


def line(custom_id, path, **body):
    return {"custom_id": custom_id, "method": "POST", "url": path, "body": body}


def chat(n):
    return lib.job("", f"product {n}", system=SYSTEM)["body"]


def response(n):
    """Texts and items, with and without instructions."""
    shapes = ({"input": f"product {n}", "instructions": SYSTEM},
              {"input": f"product {n}"},
              {"input": [{"role": "user", "content": f"product {n}"}], "instructions": SYSTEM},
              {"input": [{"role": "system", "content": SYSTEM},
                         {"role": "user", "content": [{"type": "input_text", "text": f"product {n}"}]}]})
    return {"model": ("gpt-4o-mini", "gpt-5-mini")[n % 2], "max_output_tokens": 300, "store": n % 3 == 0,
            **shapes[n % 4]}


def embedding(n):
    """One text, several, token ids, and both ways to write the numbers."""
    inputs = (f"product {n}", [f"product {n}", f"shelf {n}", "kettle"], [n, 2 * n, 7], [[n], [n, n + 1]])
    more = ({}, {"dimensions": 64}, {"encoding_format": "float", "dimensions": 32})
    return {"model": ("text-embedding-3-small", "text-embedding-3-large")[n % 2], "input": inputs[n % 4],
            **more[n % 3]}


def questions(n):
    """n different questions of each path, each asked twice, the second time in another spelling."""
    for path, make in zip(PATHS, (chat, response, embedding)):
        for i in range(n):
            yield line(f"{path}#{i}", path, **make(i))
            again = dict(reversed(make(i).items()))
            yield line(f"{path}#{i} again", path, **again, user="somebody else")


# ---- what the simulator must have been asked, read from its answers ----


def digest(asked):
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8"))


def vector(asked, n):
    raw = digest(asked).digest()
    return [raw[i % 32] / 128 - 1 for i in range(n)]


def is_own_embedding(body, answer):
    asked = body["input"]
    inputs = asked if isinstance(asked, list) and not isinstance(asked[0], int) else [asked]
    n = body.get("dimensions") or {"text-embedding-3-small": 1536}.get(body["model"], 3072)
    rows = sorted(answer["data"], key=lambda row: row["index"])
    return [[float(x) for x in row["embedding"]] for row in rows] == [vector(x, n) for x in inputs]


def is_own(one, result):
    answer = ((result.get("response") or {}).get("body")) or {}
    if one["url"] == PATHS[2]:
        return is_own_embedding(one["body"], answer)
    if one["url"] == PATHS[0]:
        return lib.digest_in(result) == lib.digest_of(one)
    said = [part.get("text", "") for item in answer["output"] for part in item.get("content", [])]
    wanted = digest([one["body"].get("instructions"), one["body"]["input"]]).hexdigest()
    return [text[:71] for text in said] == ["sha256:" + wanted]


def night(place, sim, jobs, run, code=0, **kwargs):
    out = place.path(f"{run}.jsonl")
    ended = place.run(sim, jobs, "--run", run, "-o", out, **kwargs)
    if not lib.equal(f"{run}: exit code", ended.code, code):
        print(ended.err[-2000:])
        lib.finish()
    return lib.read_lines(out), place.spend("--run", run)


def check_money(place, sim):
    records = place.spend_records()
    lib.equal("sum of the spend records is the invoice, to the pico-dollar",
              sum(r["cost"] for r in records), sim.billed())
    lib.equal("`spend` says the same", place.spend()["cost_usd"], sim.billed())


def check_answers(asked, results):
    by_id = collections.Counter(r["custom_id"] for r in results)
    lib.that("one result for each custom_id", by_id == collections.Counter(j["custom_id"] for j in asked),
             f"{len(results)} results, {len(by_id)} ids")
    jobs = {j["custom_id"]: j for j in asked}
    lib.equal("results that are not ok",
              [r["custom_id"] for r in results if r["offpeak"]["status"] != "ok"], [])
    lib.equal("results that answer another question",
              [r["custom_id"] for r in results if not is_own(jobs[r["custom_id"]], r)][:5], [])


def mixed(n=40):
    with lib.Place() as place:
        sim = place.sim()
        asked = list(questions(n))
        jobs = place.write("mixed.jsonl", lib.lines_of(asked))
        lib.part("chats, responses and embeddings in one file")
        results, spend = night(place, sim, jobs, "night-1")
        check_answers(asked, results)
        lib.equal("calls are the different questions", spend["calls"], 3 * n)
        lib.equal("requests the provider has billed, and billed twice",
                  (sim.invoice()["requests"], sim.invoice()["requests_billed_twice"]), (3 * n, 0))
        made = {b["batch"]["endpoint"] for b in sim.ask("/sim/batches")["data"]}
        lib.equal("each path had batches of its own", sorted(made), sorted(PATHS))
        check_money(place, sim)

        lib.part("the same file the next night")
        results, spend = night(place, sim, jobs, "night-2")
        check_answers(asked, results)
        lib.equal("calls", (spend["calls"], sim.invoice()["requests"]), (0, 3 * n))
        check_money(place, sim)


def broken():
    """The first three lines of the batch fail inside 200: for load and unbilled, for load and
    billed, and for good."""
    faults = [{"on": "line", "nth": 1, "do": "break", "code": "server_error", "billed": False},
              {"on": "line", "nth": 2, "do": "break", "code": "server_error"},
              {"on": "line", "nth": 3, "do": "break", "code": "invalid_prompt", "billed": False}]
    with lib.Place() as place:
        sim = place.sim(faults=faults)
        asked = [line(f"r{i}", PATHS[1], model="gpt-4o-mini", input=f"product {i}", max_output_tokens=100)
                 for i in range(10)]
        jobs = place.write("responses.jsonl", lib.lines_of(asked))
        lib.part("responses that fail inside a status of 200")
        results, spend = night(place, sim, jobs, "broken", code=3)
        states = lib.counts(r["offpeak"]["status"] for r in results)
        lib.equal("what became of them", states, {"failed": 2, "ok": 8})
        failed = [r for r in results if r["offpeak"]["status"] == "failed"]
        lib.equal("a failed one shows the provider's answer, and was paid for if it was billed",
                  sorted((r["response"]["body"]["error"]["code"], r["offpeak"]["paid"]) for r in failed),
                  [("invalid_prompt", False), ("server_error", True)])
        lib.equal("calls answered or billed", (spend["calls"], sim.invoice()["requests"]), (9, 9))
        check_money(place, sim)


def refused():
    """What is no offline work is refused by name, and harms nobody."""
    bad = {"state": {"previous_response_id": "resp_1"}, "talk": {"conversation": "conv_1"},
           "later": {"background": True}, "stream": {"stream": True},
           "search": {"tools": [{"type": "web_search"}]}, "nothing": {"input": []}}
    names = {"state": "previous_response_id", "talk": "conversation", "later": "background", "stream": "stream",
             "search": "tools[0]", "nothing": "input"}
    with lib.Place() as place:
        sim = place.sim()
        asked = [line(k, PATHS[1], **{"model": "gpt-4o-mini", "input": "x", **v}) for k, v in bad.items()]
        asked.append(line("empty", PATHS[2], model="text-embedding-3-small", input=["a", ""]))
        asked.append(line("good", PATHS[1], model="gpt-4o-mini", input="x"))
        jobs = place.write("refused.jsonl", lib.lines_of(asked))
        lib.part("requests that are no offline work")
        out = place.path("refused-out.jsonl")
        ended = place.run(sim, jobs, "--run", "refused", "-o", out)
        states = {r["custom_id"]: r["offpeak"]["status"] for r in lib.read_lines(out)}
        lib.equal("rejected", sorted(k for k, v in states.items() if v == "rejected"),
                  sorted([*bad, "empty"]))
        lib.equal("answered", states["good"], "ok")
        lib.equal("fields that are not named", [n for n in (*names.values(), "input[1]") if n not in ended.err], [])
        lib.equal("requests billed", sim.invoice()["requests"], 1)


PARTS = (mixed, broken, refused)


def main():
    lib.start(__doc__)
    for part in PARTS:
        if lib.wanted(part.__name__):
            part()
    lib.finish()


if __name__ == "__main__":
    sys.exit(main())
