#!/usr/bin/python3
"""A budget is a hard limit: what does not fit waits, and nothing is lost or paid twice.

    tests/proof/test_budget.py [--only PART]

Each part runs jobs against limits, and afterwards replays every record of the data folder
(budget_replay.py, which shares nothing with the scheduler): no release made spent + reserved
exceed a limit that the scheduler knew of, and the ledger is what its records say.
"""
import copy
import decimal
import re
import signal

import budget_replay
import lib

TEXT = ("Write one sentence about item {n}: an oak shelf, {w} cm wide, oiled, for a hallway "
        "with little light and much traffic.")
GATE_CLOSED, BAD_INPUT = 8, 6


class Story(lib.Place):
    """One data folder and one provider; `ready` is kept for as long as `retain` says."""

    def __enter__(self):
        super().__enter__()
        self.provider = self.sim()
        return self

    def file(self, name, jobs):
        return self.write(f"{name}.jsonl", lib.lines_of(jobs))

    def go(self, jobs, *arguments, run="r", out="out", team="acme", feature="a", **kwargs):
        """One `offpeak run`."""
        ended = self.run(self.provider, jobs, "--run", run, "--team", team, "--feature",
                         feature, "-o", self.path(out), *arguments, **kwargs)
        print(f"run {run} of {team}/{feature}: exit {ended.code}, {ended.seconds:.1f} s")
        return ended

    def budget(self, *arguments):
        ended = self.offpeak("budget", *arguments, "--data", self.path("data"))
        if not lib.equal("offpeak budget " + " ".join(map(str, arguments)), ended.code, 0):
            print(ended.err)
        return ended

    def limit(self, scope, amount, per="total"):
        return self.budget("set", scope, "--limit", f"{usd(amount):f}", "--per", per)

    def cost(self):
        return self.spend()["cost_usd"] if self.path("data").exists() else decimal.Decimal(0)

    def results(self, run, team="acme"):
        """What `offpeak results` shows of a run, finished or not."""
        out = self.path(f"partial-{self.count()}.jsonl")
        ended = self.offpeak("results", "--run", run, "--data", self.path("data"), "--team",
                             team, "-o", out)
        lib.that("`results` shows what there is", ended.code == 0 and out.exists(),
                 ended.err.strip() if ended.code else "")
        return lib.read_lines(out) if out.exists() else []

    def records(self):
        """Everything this folder did, and the limits of its runs."""
        records = {name: self.cat(name) for name in budget_replay.NAMES}
        teams = {budget_replay.queue_of(r["headers"]["job"])[0] for r in records["ready"]
                 if "job" in r["headers"]}
        return records, budget_replay.max_costs({t: self.cat("runs." + t) for t in teams})

    def replay(self):
        """The proof over them."""
        replay = budget_replay.Replay(*self.records())
        replay.report()
        lib.equal("the replay finds", replay.problems[:3], [])
        return replay

    def settled(self, jobs, run="r", out="out"):
        """At the end: every job one result, the invoice is what was spent, nothing twice."""
        results = lib.read_lines(self.path(out))
        lib.that("one result for each job", sorted(r["custom_id"] for r in results)
                 == sorted(j["custom_id"] for j in jobs), f"{len(results)} results")
        self.nothing_twice()
        return results

    def nothing_twice(self):
        invoice = self.provider.invoice()
        lib.equal("requests billed twice", invoice["requests_billed_twice"], 0)
        lib.equal("spent, to the pico-dollar, is the invoice", self.cost(),
                  self.provider.billed())


def usd(amount):
    """Whole pico-dollars."""
    return amount.quantize(decimal.Decimal(1) / lib.PICO, rounding=decimal.ROUND_DOWN)


def jobs_of(count, name="job", **more):
    return [lib.job(f"{name}-{n}", TEXT.format(n=f"{name} {n}", w=40 + n % 7), **more)
            for n in range(count)]


def need(jobs):
    """What these jobs cost when nothing limits them."""
    with lib.Place() as place:
        sim = place.sim()
        ended = place.run(sim, place.write("need.jsonl", lib.lines_of(jobs)), "--run", "need",
                          "-o", place.path("need.out"))
        if not lib.equal("the same jobs without a limit: exit code", ended.code, 0):
            print(ended.err)
        return sim.billed()


def says_what_opens_it(ended, scope, per):
    lib.that("stderr says which limit, and the command that opens it",
             bool(re.search(rf"offpeak budget set {re.escape(scope)} --limit \S+ --per {per}",
                            ended.err)),
             lib.short(" / ".join(ended.err.strip().splitlines()[-4:])))


def forty_percent():
    """A limit of 40 % of what the file needs."""
    jobs = jobs_of(400)
    cost = need(jobs)
    with Story() as story:
        file, limit = story.file("jobs", jobs), cost * 2 / 5
        print(f"the file needs {cost:f} USD, the limit is {limit:f} USD")
        story.limit("acme", limit)
        ended = story.go(file)
        lib.equal("exit code at the closed gate", ended.code, GATE_CLOSED)
        says_what_opens_it(ended, "acme", "total")
        lib.that("no result file yet: jobs still wait", not story.path("out").exists())
        lib.that("spent within the limit", 0 < story.cost() <= limit, f"{story.cost():f} USD")
        lib.that("most of the limit was used", story.cost() > limit * 3 / 4,
                 f"{100 * story.cost() / limit:.1f} %")
        part = story.results("r")
        lib.that("the jobs that fitted have results, the rest waits", 0 < len(part) < len(jobs),
                 f"{len(part)} of {len(jobs)}")
        story.nothing_twice()
        again = story.go(file)
        lib.equal("the same command at the same gate", again.code, GATE_CLOSED)
        lib.equal("results did not change", len(story.results("r")), len(part))
        story.limit("acme", cost * 2)
        done = story.go(file)
        lib.equal("after `budget set`, the same command", done.code, 0)
        story.settled(jobs)
        lib.equal("calls", story.provider.invoice()["requests"], len(jobs))
        story.replay()
        the_replay_can_fail(story)


def the_replay_can_fail(story):
    """Records that were tampered with: each change must be noticed."""
    def tampered(change):
        records, max_cost = copy.deepcopy(story.records())
        change(records)
        return budget_replay.Replay(records, max_cost).problems

    def limit_below(records):
        first = min(records["budgets"], key=lambda r: r["commit"])
        first["value"]["total"] = first["value"]["total"] / 2

    def release_missing(records):
        del records["ready"][len(records["ready"]) // 2]

    def release_larger(records):
        heads = records["ready"][0]["headers"]
        heads["pico"] = str(int(heads["pico"]) * 1000000)

    def settlement_missing(records):
        records["spend"] = [r for r in records["spend"] if r["offset"] != 3]

    def settlement_later(records):
        for record in records["ready"]:
            if "seen" in record["headers"]:
                record["headers"]["seen"] = record["headers"]["seen"].split(",")[0] + ",0"

    def ledger_off_by_one(records):
        value = records["ledger"][0]["value"]
        value["spent_pico"] = str(int(value["spent_pico"]) + 1)

    def row_left_in_open(records):
        records["open"].append({"key": "acme.a/0/0/1", "value": {"reserved": 1}})

    for change in (limit_below, release_missing, release_larger, settlement_missing,
                   settlement_later, ledger_off_by_one, row_left_in_open):
        found = tampered(change)
        lib.that(f"the replay notices: {change.__name__.replace('_', ' ')}", bool(found),
                 lib.short(found[0])[:120] if found else "nothing")


def row(commit, key, value):
    return {"commit": commit, "key": key, "value": value}


def records_of_tries():
    """Two jobs that reserve two tries each. The first loses an answer and gets the second; the
    second has lost one so far."""
    first, second = "acme.a/0/0/1", "acme.a/0/1/1"

    def release(offset, job, seen_spend):
        return {"commit": 10 + offset, "offset": offset, "headers": {
            "job": job, "try": "1", "run": "r", "lane": "sync", "pico": "2000", "tries": "2",
            "day": "2026-11-21", "seen": f"1,{seen_spend}"}}

    def charge(offset, job, **heads):
        return {"commit": 20 + offset, "offset": offset, "headers": {
            "job": job, "attempt": "1", "run": "r", "day": "2026-11-21", **heads}}

    spent = {"spent_pico": "600", "in_doubt_pico": "2000", "input_tokens": 5, "jobs": 1,
             "calls": 3}
    lines = [f"{scope}|{period}|{which}" for scope in ("acme", "acme/a") for period, which in
             (("day", "2026-11-21"), ("month", "2026-11"), ("total", ""))]
    return {
        "budgets": [row(1, "acme#1", {"scope": "acme", "edit": 1,
                                      "total": decimal.Decimal("0.000000004")})],
        "ready": [release(0, first, 0), release(1, second, 0)],
        "spend": [charge(0, first, kind="in_doubt", cost_pico="1000"),
                  charge(1, second, kind="in_doubt", cost_pico="1000"),
                  charge(2, first, kind="usage", cost_pico="600", final="1", **{"try": "2"},
                         tokens="5,0,0,0,0")],
        "ledger": [row(30, line, dict(spent)) for line in lines],
        "open": [row(30, second, {"reserved": decimal.Decimal("0.000000001")})],
        "marks": [row(30, "spend", "3")],
    }


def tries():
    """A try in doubt is booked at once; what is reserved for the next stays reserved."""
    def problems(change=None):
        records = records_of_tries()
        if change:
            change(records)
        return budget_replay.Replay(records).problems

    def release_again(records):
        made = copy.deepcopy(records["ready"][1])
        made.update(commit=31, offset=2)
        made["headers"].update(job="acme.a/0/2/1", seen="1,3", pico="1401")
        records["ready"].append(made)

    def says_final(records):
        records["spend"][1]["headers"]["final"] = "1"

    def keeps_all(records):
        records["open"][0]["value"]["reserved"] = decimal.Decimal("0.000000002")

    def twice(records):
        records["spend"].append(dict(records["spend"][1], offset=3))
        records["marks"][0]["value"] = "4"

    lib.equal("two tries of two jobs", problems(), [])
    lib.equal("the same try told twice counts once", problems(twice), [])
    lib.that("a release past what is spent, in doubt and still reserved is found",
             any("is past 4000" in p for p in problems(release_again)))
    lib.that("a try that ends the job is told from one that does not",
             len(problems(says_final)) > 0)
    lib.that("a reservation that was not taken from is found",
             any("`open`" in p for p in problems(keeps_all)))


def two_features():
    """Two features of one team, each with its own limit; then the team's over both."""
    with Story() as story:
        a, b = jobs_of(150, "a"), jobs_of(150, "b")
        cost = need(a)
        story.limit("acme/a", cost / 3)
        story.limit("acme/b", cost * 3)
        first = story.go(story.file("a", a), run="a", feature="a", out="out-a")
        lib.equal("feature a, with a third of what it needs", first.code, GATE_CLOSED)
        says_what_opens_it(first, "acme/a", "total")
        second = story.go(story.file("b", b), run="b", feature="b", out="out-b")
        lib.equal("feature b, with room enough, beside a closed gate", second.code, 0)
        story.settled(b, out="out-b")
        by = story.spend()["by"]["feature"]
        rows = {k: v["cost_usd"] for k, v in by.items()} if isinstance(by, dict) else by
        print(f"by feature: {rows}")
        spent_b = story.spend("--run", "b")["cost_usd"]
        lib.that("feature a stayed within its own limit", story.cost() - spent_b <= cost / 3,
                 f"{story.cost() - spent_b:f} of {cost / 3:f} USD")
        print("now the team's limit stands over both")
        story.limit("acme/a", cost * 3)
        story.limit("acme", story.cost() + cost / 4)
        third = story.go(story.file("a", a), run="a", feature="a", out="out-a")
        lib.equal("feature a, open by itself, at the team's limit", third.code, GATE_CLOSED)
        says_what_opens_it(third, "acme", "total")
        story.limit("acme", cost * 9)
        last = story.go(story.file("a", a), run="a", feature="a", out="out-a")
        lib.equal("with the team's limit raised", last.code, 0)
        story.settled(a, out="out-a")
        story.replay()


def periods():
    """Limits per day, per month, in total."""
    jobs = jobs_of(60)
    cost = need(jobs)
    for per in ("day", "month", "total"):
        with Story() as story:
            story.limit("acme", cost / 2, per)
            ended = story.go(story.file("jobs", jobs))
            lib.equal(f"exit code at half of what it needs per {per}", ended.code, GATE_CLOSED)
            says_what_opens_it(ended, "acme", per)
            opens = re.search(r"opens[^\n]*\d{4}-\d{2}-\d{2}", ended.err)
            lib.equal("stderr says when it opens by itself", bool(opens), per != "total")
            story.limit("acme", cost * 9, per)
            lib.equal("after `budget set`", story.go(story.file("jobs", jobs)).code, 0)
            story.settled(jobs)
            story.replay()


def no_output_limit():
    """Jobs that state no output limit are bound by the model's."""
    jobs = jobs_of(40)
    for one in jobs:
        del one["body"]["max_completion_tokens"]
    with Story() as story:
        # one such job may cost 16,384 output tokens at 0.30 USD per million: 0.0049 USD
        story.limit("acme", decimal.Decimal("0.0052"))
        ended = story.go(story.file("jobs", jobs))
        lib.equal("one at a time fits, until the rest of the limit is smaller than its bound",
                  ended.code, GATE_CLOSED)
        done = len(story.cat("results.acme"))
        lib.that("some got through", 0 < done < len(jobs), done)
        lib.that("it says why the next job may cost so much",
                 "it states no max_completion_tokens" in ended.err, lib.short(ended.err))
        story.limit("acme", decimal.Decimal("0.0495"))
        ended = story.go(story.file("jobs", jobs))
        lib.equal("ten at a time fit, and all get through", ended.code, 0)
        lib.that("the summary counts them all, those of the command before too",
                 "40 of them state no output limit" in ended.err, lib.short(ended.err))
        story.settled(jobs)
        replay = story.replay()
        bounds = {r.pico for r in replay.releases}
        lib.that("each was reserved at the model's maximum",
                 min(bounds) >= 16384 * 300000, f"{min(bounds)} to {max(bounds)} pico-dollars")


def dearer_than_all():
    """One job dearer than the whole limit is rejected; its neighbours go on."""
    jobs = jobs_of(20)
    jobs[7] = lib.job("dear", "Tell everything. " * 3, max_completion_tokens=16000)
    with Story() as story:
        story.limit("acme", decimal.Decimal("0.004"))
        ended = story.go(story.file("jobs", jobs))
        lib.equal("exit code", ended.code, BAD_INPUT)
        results = {r["custom_id"]: r for r in story.settled(jobs)}
        lib.equal("the dear job", results["dear"]["offpeak"]["status"], "rejected")
        lib.that("its error says why and what to do",
                 "limit" in results["dear"]["error"]["message"],
                 results["dear"]["error"]["message"])
        lib.equal("its neighbours", {r["offpeak"]["status"] for i, r in results.items()
                                     if i != "dear"}, {"ok"})
        story.replay()


def max_cost():
    """--max-cost is a limit of the run, and no gate."""
    jobs = jobs_of(200)
    cost = need(jobs)
    with Story() as story:
        file, limit = story.file("jobs", jobs), cost / 2
        ended = story.go(file, "--max-cost", f"{usd(limit):f}")
        lib.equal("exit code", ended.code, GATE_CLOSED)
        results = story.settled(jobs)
        cancelled = [r for r in results if r["offpeak"]["status"] == "cancelled"]
        lib.that("what no longer fitted is cancelled, the rest is answered",
                 0 < len(cancelled) < len(jobs), f"{len(cancelled)} of {len(jobs)}")
        lib.equal("their error code", {r["error"]["code"] for r in cancelled}, {"max_cost"})
        lib.that("spent within it", 0 < story.cost() <= limit,
                 f"{story.cost():f} of {limit:f} USD")
        other = story.go(file, run="free", out="out-free")
        lib.equal("another run of the same file is not bound by it", other.code, 0)
        lib.equal("and buys only what was not bought",
                  story.provider.invoice()["requests"], len(jobs))
        story.settled(jobs, out="out-free")
        story.replay()


def pause():
    """A paused team waits, whatever its limits."""
    jobs = jobs_of(30)
    with Story() as story:
        story.budget("pause", "acme")
        ended = story.go(story.file("jobs", jobs))
        lib.equal("exit code of a paused team", ended.code, GATE_CLOSED)
        lib.that("stderr names the command that resumes",
                 "offpeak budget resume acme" in ended.err)
        lib.equal("requests at the provider", story.provider.invoice()["requests"], 0)
        story.budget("resume", "acme")
        lib.equal("after `budget resume`", story.go(story.file("jobs", jobs)).code, 0)
        story.settled(jobs)
        story.budget("pause", "acme/b")
        other = story.go(story.file("b", jobs_of(5, "b")), run="b", feature="b", out="out-b")
        lib.equal("a paused feature", other.code, GATE_CLOSED)
        more = story.go(story.file("c", jobs_of(5, "c")), run="c", feature="a", out="out-c")
        lib.equal("another feature of that team", more.code, 0)
        story.replay()


def lowered():
    """A limit lowered below what is spent freezes the line and loses nothing."""
    jobs, more = jobs_of(80), jobs_of(80, "more")
    with Story() as story:
        cost = need(jobs)
        story.limit("acme", cost * 9)
        lib.equal("a first run", story.go(story.file("jobs", jobs)).code, 0)
        story.limit("acme", cost / 10)
        frozen = story.go(story.file("more", more), run="more", out="out-more")
        lib.equal("at a limit below what is spent", frozen.code, GATE_CLOSED)
        lib.equal("calls", story.provider.invoice()["requests"], len(jobs))
        shown = story.offpeak("budget", "show", "--data", story.path("data"))
        lib.that("`budget show` names the line", "acme" in shown.out, lib.short(shown.out))
        story.limit("acme", cost * 9)
        done = story.go(story.file("more", more), run="more", out="out-more")
        lib.equal("raised again", done.code, 0)
        story.settled(more, out="out-more")
        story.replay()


def lowered_on_the_way():
    """Limits change while jobs are in flight; the owner follows within the same run."""
    jobs = jobs_of(600)
    cost = need(jobs)
    with Story() as story:
        file = story.file("jobs", jobs)
        story.limit("acme", cost / 3)
        run = story.begin(story.provider, file, "--run", "r", "--team", "acme", "--feature",
                          "a", "-o", story.path("out"), "--wait")
        lib.wait_for(lambda: story.path("data").exists() and story.cost() > 0)
        story.limit("acme", cost / 2)
        story.limit("acme", cost / 4)
        closed = re.compile(rf"and \$0 reserved of \${usd(cost / 4).normalize():f},")
        lib.that("all that fits is done, the rest waits at the limit",
                 lib.wait_for(lambda: closed.search(run.stderr())))
        lib.that("with --wait it stays at the closed gate", run.alive())
        story.limit("acme", cost * 9)
        ended = run.wait()
        lib.equal("and goes on by itself after `budget set`", ended.code, 0)
        story.settled(jobs)
        story.replay()


def killed_with_max_cost():
    """The limit of a run survives its owner."""
    jobs = jobs_of(600)
    cost = need(jobs)
    with Story() as story:
        # room for the bounds of a third, and a provider slow enough to be killed beside
        story.provider, little = story.sim(speed=500), {"flow.calls": "60"}
        file, limit = story.file("jobs", jobs), ("--max-cost", f"{usd(cost * 2):f}")
        for pause_s in (0.3, 0.5, 0.7):
            killed_when(never, story, file, *limit, seconds=pause_s, settings=little)
        ended = story.go(file, *limit, settings=little)
        lib.that("exit code", ended.code in (0, GATE_CLOSED), ended.code)
        results = story.settled(jobs)
        print(f"ends: {lib.counts(r['offpeak']['status'] for r in results)}")
        lib.that("spent within it", story.cost() <= cost * 2)
        story.replay()


def never():
    return False


def killed_when(holds, story, file, *arguments, seconds=90, settings=None):
    run = story.begin(story.provider, file, "--run", "r", "--team", "acme", "--feature", "a",
                      "-o", story.path("out"), *arguments, settings=settings)
    lib.wait_for(lambda: holds() or not run.alive(), seconds)
    run.signal(signal.SIGKILL)
    run.wait()


def killed():
    """A killed owner leaves the books whole."""
    jobs = jobs_of(300)
    cost = need(jobs)
    with Story() as story:
        file = story.file("jobs", jobs)
        story.limit("acme", cost / 2)
        for pause_s in (0.2, 0.4, 0.6):
            killed_when(never, story, file, seconds=pause_s)
        lib.equal("then at the gate", story.go(file).code, GATE_CLOSED)
        lib.that("within the limit", story.cost() <= cost / 2, f"{story.cost():f} USD")
        story.limit("acme", cost * 9)
        lib.equal("and completed", story.go(file).code, 0)
        story.settled(jobs)
        story.replay()


def killed_one_by_one():
    """Calls made one by one: what a killed owner leaves in doubt stays booked, each try once."""
    jobs = jobs_of(400)
    cost = need(jobs)
    with Story() as story:
        story.provider = story.sim(arguments=("--latency-ms", "40"))
        file, lane = story.file("jobs", jobs), ("--lane", "sync")
        little = {"sync.concurrency": "8"}
        story.limit("acme", cost * 20)
        for answers in (40, 80, 120):
            asked = story.provider.stats()["operations"].get("chat", 0)
            killed_when(lambda n=asked + answers: story.provider.stats()["operations"].get(
                "chat", 0) >= n, story, file, *lane, settings=little)
        ended = story.go(file, *lane, settings=little)
        results = lib.read_lines(story.path("out"))
        lib.equal("one result for each job", sorted(r["custom_id"] for r in results),
                  sorted(j["custom_id"] for j in jobs))
        spend, billed = story.spend(), story.provider.billed()
        failed = sum(r["offpeak"]["status"] == "failed" for r in results)
        print(f"{spend['in_doubt']} tries in doubt, {failed} jobs failed, exit {ended.code}")
        lib.that("something was under way when the owner died", spend["in_doubt"] > 0)
        lib.that("the invoice lies between what was spent and that with what is in doubt",
                 spend["cost_usd"] <= billed <= spend["cost_usd"] + spend["in_doubt_usd"],
                 f"{spend['cost_usd']} <= {billed}")
        listed = story.offpeak("spend", "--in-doubt", "--data", story.path("data"))
        lib.equal("calls listed as in doubt", len(listed.out.splitlines()), spend["in_doubt"])
        story.replay()


PARTS = (tries, killed_one_by_one, forty_percent, two_features, periods, no_output_limit,
         dearer_than_all, max_cost, pause, lowered, lowered_on_the_way, killed,
         killed_with_max_cost)


def main():
    lib.start(__doc__)
    for one in PARTS:
        if lib.wanted(one.__name__):
            lib.part(one.__doc__.splitlines()[0])
            one()
    lib.finish()


main()
