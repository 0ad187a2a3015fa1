#!/usr/bin/python3
"""Nights of work: one result for each line, each question bought once, every cent accounted for.

    tests/proof/test_nights.py [--only night|expiry] [--lines N]
    tests/proof/test_nights.py --file JOBS       the same over a job file of your own

A first night, the same file again, the same file at another provider's address, and ten
nights in a row whose records expire: the folder grows by its spend records only.
"""
import collections
import decimal
import sys
import time

import lib
import questions

TABLES = ("answers", "batches", "acks", "open", "ledger", "marks", "budgets", "runs.shop")
TOPICS = ("jobs.shop.shelf", "ready", "results.shop", "dead.shop", "spend")
WHO = ("--team", "shop", "--feature", "shelf")
TTL_S = 2


class File:
    """A job file, and what our own reading of it says about the questions in it."""

    def __init__(self, path):
        self.path, self.bodies = path, {}
        with open(path, encoding="utf-8") as file:
            for text in filter(str.strip, file):
                # the raw text of the body, so that our numbers keep their spelling
                entry = lib.loads(text)
                raw = text[text.index('"body"') + 6:].lstrip()[1:].strip()
                self.bodies[entry["custom_id"]] = _first_value(raw)
        self.groups = collections.defaultdict(list)
        for custom_id, body in self.bodies.items():
            self.groups[questions.canonical(body)].append(custom_id)
        self.digests = {i: questions.digest(b) for i, b in self.bodies.items()}

    def describe(self):
        equal = len(set(self.bodies.values()))
        print(f"{len(self.bodies)} lines, {equal} different texts, "
              f"{len(self.groups)} different questions")


def _first_value(text):
    """The JSON text of the value that `text` begins with."""
    return text[: lib.json.JSONDecoder().raw_decode(text)[1]]


def check_answers(file, results):
    """Each result answers its own question, by the digest in the answer."""
    by_id = collections.Counter(r["custom_id"] for r in results)
    lib.that("one result for each custom_id", by_id == collections.Counter(file.bodies.keys()),
             f"{len(results)} results, {len(by_id)} ids")
    lib.equal("jobs that did not end ok",
              sum(r["offpeak"]["status"] != "ok" for r in results), 0)
    answers = {r["custom_id"]: lib.digest_in(r) for r in results}
    own = sum(answers.get(i) == d for i, d in file.digests.items())
    wrong, strange = [], []
    for ids in file.groups.values():
        spelled = {file.digests[i] for i in ids}
        given = {answers.get(i) for i in ids}
        wrong += [i for i in ids if answers.get(i) not in spelled]
        strange += ids if len(given) != 1 else []
    lib.equal("answers that belong to another question", wrong[:5], [])
    lib.equal("equal questions that got different answers", strange[:5], [])
    lib.that("answers carry the digest of their own text or of an equal spelling", not wrong,
             f"{own} own, {len(answers) - own} equal spellings")


def check_calls(file, results, sim, spend):
    """A call for each different question, and none more."""
    lib.equal("calls in `spend`", spend["calls"], len(file.groups))
    lib.equal("requests on the invoice", sim.invoice()["requests"], len(file.groups))
    lib.equal("requests billed twice", sim.invoice()["requests_billed_twice"], 0)
    paid = {r["custom_id"] for r in results if r["offpeak"]["paid"]}
    bought = [sum(i in paid for i in ids) for ids in file.groups.values()]
    lib.equal("results marked paid, for each different question", lib.counts(bought),
              {1: len(file.groups)})
    own = {r["custom_id"]: lib.digest_in(r) for r in results if r["offpeak"]["paid"]}
    lib.equal("paid answers that carry another text than the one that was sent",
              [i for i, d in own.items() if d != file.digests[i]][:5], [])


def check_money(place, sims, spend, what):
    """Our books and the providers' invoices are one number; savings explain the rest."""
    lib.equal(f"{what}: savings add up to baseline - cost",
              sum(spend["saved"].values()), spend["baseline_usd"] - spend["cost_usd"])
    records = place.spend_records()
    billed = sum(s.billed() for s in sims)
    lib.equal(f"{what}: sum of the spend records is the invoice, to the pico-dollar",
              sum(r["cost"] for r in records), billed)
    lib.equal(f"{what}: `spend` over all runs says the same", place.spend()["cost_usd"], billed)
    lib.equal(f"{what}: records whose savings do not explain baseline - cost",
              [r["event_id"] for r in records if not _adds_up(r)][:5], [])
    lib.equal(f"{what}: event ids that occur twice",
              len(records) - len({r["event_id"] for r in records}), 0)


def _adds_up(record):
    saved = sum(v for k, v in record.items() if k.startswith("saved_"))
    parts = sum(record["cost_" + k] for k in ("input", "cache_read", "cache_write", "output"))
    return record["baseline_cost"] - record["cost"] == saved and record["cost"] == parts


def show(title, ended, spend):
    print(f"{title}: {ended.seconds:.1f} s, {spend['jobs']} jobs, {spend['calls']} calls, "
          f"paid {spend['cost_usd']:f} of {spend['baseline_usd']:f} USD, saved "
          + ", ".join(f"{k} {v:f}" for k, v in spend["saved"].items()))


def one_night(place, sim, file, run):
    out = place.path(f"{run}.jsonl")
    ended = place.run(sim, file.path, "--run", run, "-o", out, *WHO, timeout=1000)
    if not lib.equal(f"{run}: exit code", ended.code, 0):
        print(ended.err[-2000:])
        lib.finish()
    spend = place.spend("--run", run)
    show(run, ended, spend)
    return lib.read_lines(out), spend


def nights(place, file):
    file.describe()
    sim = place.sim()

    lib.part("first night")
    first, spent = one_night(place, sim, file, "night-1")
    check_answers(file, first)
    check_calls(file, first, sim, spent)
    check_money(place, [sim], spent, "night-1")
    lib.equal("jobs and results in `spend`", (spent["jobs"], spent["results"]),
              (len(file.bodies), len(file.bodies)))
    for what, groups in spent["by"].items():
        rows = groups.values() if isinstance(groups, dict) else groups
        lib.equal(f"cost by {what} adds up",
                  sum(g["cost_usd"] for g in rows), spent["cost_usd"])

    lib.part("the same command again")
    before = sim.invoice()
    place.path("night-1.jsonl").unlink()
    again, _ = one_night(place, sim, file, "night-1")
    lib.equal("the result file is written again, with the same answers",
              {r["custom_id"]: lib.digest_in(r) for r in again},
              {r["custom_id"]: lib.digest_in(r) for r in first})
    lib.equal("the invoice did not change", sim.invoice(), before)

    lib.part("second night: the same file as a new run")
    second, spent2 = one_night(place, sim, file, "night-2")
    check_answers(file, second)
    lib.equal("calls", spent2["calls"], 0)
    lib.equal("cost", spent2["cost_usd"], 0)
    lib.equal("results marked paid", sum(r["offpeak"]["paid"] for r in second), 0)
    lib.equal("what it would have cost is what the first night would have cost",
              spent2["baseline_usd"], spent["baseline_usd"])
    lib.that("savings are recorded", spent2["baseline_usd"] > 0,
             f"{spent2['baseline_usd']:f} USD")
    lib.equal("the invoice did not change", sim.invoice(), before)
    check_money(place, [sim], spent2, "night-2")

    lib.part("the same file at another address, the same data folder")
    other = place.sim()
    third, spent3 = one_night(place, other, file, "night-3")
    check_answers(file, third)
    check_calls(file, third, other, spent3)
    lib.equal("answers that came from the store",
              sum(r["offpeak"]["source"] == "cache" for r in third), 0)
    check_money(place, [sim, other], spent3, "night-3")


def census(place):
    """Records of each topic, rows of each table, bytes of the data folder."""
    sizes = {name: len(place.cat(name)) for name in TOPICS + TABLES}
    files = [p for p in place.path("data").rglob("*") if p.is_file()]
    return sizes, sum(p.stat().st_blocks * 512 for p in files)


def expiry(place):
    """Ten nights whose answers, results and jobs live for one night."""
    lib.part("ten nights with retain, results.keep and cache.ttl of one night")
    file = File(place.write("ten.jsonl", "\n".join(questions.night(400, 7, spelled=False)) + "\n"))
    file.describe()
    sim = place.sim()
    settings = {"retain": f"{TTL_S}s", "results.keep": f"{TTL_S}s", "cache.ttl": f"{TTL_S}s"}
    seen, spend_bytes = {}, {}
    for number in range(1, 11):
        ended = place.run(sim, file.path, "--run", f"night-{number}", "-o",
                          place.path("ten.out"), *WHO, settings=settings)
        if not lib.equal(f"night {number}: exit code", ended.code, 0):
            print(ended.err[-2000:])
            return
        time.sleep(TTL_S + 0.5)
        if number in (1, 3, 10):
            seen[number], spend_bytes[number] = census(place), len(str(place.cat("spend")))
            print(f"night {number}: {seen[number][1]} bytes, " + ", ".join(
                f"{k} {v}" for k, v in seen[number][0].items() if v))
    lib.equal("calls in ten nights", sim.invoice()["requests"], 10 * len(file.groups))
    (_, bytes1), (third, bytes3), (tenth, bytes10) = seen[1], seen[3], seen[10]
    lib.equal("spend records after ten nights", tenth["spend"], 10 * len(file.bodies))
    for name in TOPICS + TABLES:
        if name != "spend":
            lib.that(f"{name} does not grow from night 3 to night 10",
                     tenth[name] <= third[name], f"{third[name]}, then {tenth[name]}")
    grown, allowed = bytes10 - bytes3, spend_bytes[10] - spend_bytes[3]
    # How much of a night is in the store at a time varies, and what was freed stays in the file:
    # one night's work is room to breathe, seven would be a leak.
    lib.that("the data folder grows by its spend records and less than one night's work",
             grown <= 1.5 * allowed + bytes1,
             f"{grown} bytes, spend records {allowed} as text, one night {bytes1}")


def more(parser):
    parser.add_argument("--file", help="a job file to use instead of a generated one")
    parser.add_argument("--lines", type=int, default=3000)


def main():
    options = lib.start(__doc__, more)
    print(f"seed {options.seed}")
    if options.file or lib.wanted("night"):
        with lib.Place() as place:
            path = options.file or place.write(
                "night.jsonl", "\n".join(questions.night(options.lines, options.seed)) + "\n")
            nights(place, File(path))
    if not options.file and lib.wanted("expiry"):
        with lib.Place() as place:
            expiry(place)
    lib.finish()


main()
