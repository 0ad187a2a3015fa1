#!/usr/bin/python3
"""Bad input harms itself only, and is told so in words that a person can act on.

    tests/proof/test_bad_input.py KIND... [--only PART-OF-A-NAME] [--record]

KIND: json bytes numbers ids requests (a bad line between two good ones), files, credentials,
network, disk, two (commands at once); all of them when none is given. For each case: the exit
code, what it says (tests/proof/golden/), the neighbours' results, and a data folder that
still works. --record writes what it says now as what it should say.
"""
import bad_lines
import bad_world
import golden
import lib

INVALID_INPUT, SOME_FAILED = 6, 3
WHO = ("--team", "shop", "--feature", "shelf")


def neighbours(name):
    return [lib.job(i, f"{i} in case '{name}'") for i in ("before", "after")]


def check_neighbours(name, jobs, results):
    """The good lines around the bad one have their own answers."""
    for one in jobs:
        mine = [r for r in results if r["custom_id"] == one["custom_id"]
                and r["offpeak"]["status"] == "ok"]
        lib.that(f"{name}: the line '{one['custom_id']}' has its answer",
                 len(mine) == 1 and lib.digest_in(mine[0]) == lib.digest_of(one),
                 f"{len(mine)} of them")


def bad_line(place, sim, case, gold):
    name, line, ends, custom_id = case
    before, after = neighbours(name)
    text = b"\n".join([lib.lines_of([before]).encode().rstrip(), line,
                       lib.lines_of([after]).encode()])
    jobs, out = place.write("jobs.jsonl", text), place.path("out.jsonl")
    out.unlink(missing_ok=True)
    ended = place.run(sim, jobs, "--run", name.translate(RUN_NAME), "-o", out, "-q", *WHO,
                      settings={"input.max_line": "256KiB"})
    gold.check(name, ended, place)
    results = lib.read_lines(out) if out.exists() else []
    if not lib.equal(f"{name}: lines in the result file", len(results), 3):
        return
    check_neighbours(name, (before, after), results)
    odd = [r for r in results
           if r["custom_id"] not in ("before", "after") or r["offpeak"]["status"] != "ok"]
    ends = ends if isinstance(ends, tuple) else (ends,)
    if lib.equal(f"{name}: results beside them", len(odd), 1):
        bad = odd[0]
        status = bad["offpeak"]["status"]
        lib.that(f"{name}: it ends {' or '.join(ends)}", status in ends, status)
        lib.equal(f"{name}: its custom_id", bad["custom_id"], custom_id)
        wanted = {"rejected": INVALID_INPUT, "failed": SOME_FAILED, "ok": 0}[status]
        lib.equal(f"{name}: exit code", ended.code, wanted)
        if status == "rejected":
            lib.that(f"{name}: stderr names file and line",
                     "jobs.jsonl:2" in ended.err or "line 2" in ended.err,
                     lib.short(ended.err))


RUN_NAME = {ord(c): "-" for c in " ,'^+/()."}


def lines_kind(kind, record):
    gold, done = golden.Golden(kind, record), 0
    with lib.Place() as place:
        sim = place.sim()
        for case in bad_lines.KINDS[kind]:
            if lib.wanted(case[0]):
                bad_line(place, sim, case, gold)
                done += 1
        still_usable(place, sim)
    gold.done()
    lib.cases(kind, done)


def still_usable(place, sim, data="data"):
    """After all that: a good file, in the same folder, at the first attempt."""
    jobs = [lib.job(f"good-{n}", f"a question after all, {n}") for n in range(5)]
    ended = place.run(sim, place.write("good.jsonl", lib.lines_of(jobs)), "--run", "good-after",
                      "-o", place.path("good.out"), *WHO, data=data)
    if not lib.equal("afterwards a good file: exit code", ended.code, 0):
        print(ended.err)
    lib.equal("spent is what the provider billed", place.spend(data=data)["cost_usd"],
              sim.billed())
    lib.equal("requests billed twice", sim.invoice()["requests_billed_twice"], 0)


def more(parser):
    parser.add_argument("kinds", nargs="*", metavar="KIND")
    parser.add_argument("--record", action="store_true", help="write the golden texts anew")


def main():
    options = lib.start(__doc__, more)
    kinds = options.kinds or [*bad_lines.KINDS, *bad_world.KINDS]
    for kind in kinds:
        lib.part(kind)
        if kind in bad_lines.KINDS:
            lines_kind(kind, options.record)
        elif kind in bad_world.KINDS:
            bad_world.run(kind, options.record)
        else:
            raise SystemExit(f"no kind '{kind}'")
    lib.finish()


main()
