#!/usr/bin/python3
"""Replays a data folder's records and proves that no release went past a limit.

    tests/proof/budget_replay.py --data DIR [--offpeak PROGRAM]
    tests/proof/budget_replay.py --records FOLDER     ready.jsonl, spend.jsonl, ... as printed
                                                      by `offpeak cat`

It shares nothing with the scheduler. From the records alone, in the order of their commit
numbers, it folds

    releases      `ready`: what was reserved ("pico"), on which lines, and what the scheduler
                  had seen by then ("seen": commit of the last budget edit, next spend offset)
    settlements   `spend`: a final record ends the reservation of its job and attempt; a try in
                  doubt with another to come moves its part of it to what is in doubt
    edits         `budgets`: the limits in force

and at every release asks of every limit: is spent + in doubt + reserved, this one included,
at most the limit? Then it compares the tables `ledger` and `open` with its own fold. A gap in
the offsets of `ready` is a failure: what cannot be read cannot be proven.
"""
import argparse
import collections
import decimal
import json
import pathlib
import subprocess
import sys

PICO = decimal.Decimal(10) ** 12
NAMES = ("ready", "spend", "budgets", "ledger", "open", "marks")
PERIODS = ("day", "month", "total")

Release = collections.namedtuple(
    "Release", "commit offset job attempt run pico day seen_budgets seen_spend")
Charge = collections.namedtuple(
    "Charge", "commit offset job attempt try_n run kind final day cost tokens")


# ---- reading ----


def pico(amount):
    exact = decimal.Decimal(amount) * PICO
    if exact != exact.to_integral_value():
        raise ValueError(f"{amount} is finer than a pico-dollar")
    return int(exact)


def two(text):
    first, second = (text or "0,0").split(",")
    return int(first), int(second)


def queue_of(job):
    """team and feature of `team.feature/partition/offset/ms`"""
    team, feature = job.split("/", 1)[0].split(".", 1)
    return team, feature


def read_release(record):
    heads = record["headers"]
    budgets, spend = two(heads.get("seen"))
    return Release(record["commit"], record["offset"], heads["job"],
                   int(heads.get("try", 0)), heads.get("run", ""), int(heads.get("pico", 0)),
                   heads["day"], budgets, spend)


def read_charge(record):
    heads = record["headers"]
    tokens = tuple(int(n) for n in heads.get("tokens", "0,0,0,0,0").split(","))
    return Charge(record["commit"], record["offset"], heads["job"], int(heads.get("attempt", 0)),
                  int(heads.get("try", 1)), heads.get("run", ""), heads["kind"], heads.get("final") == "1",
                  heads.get("day", ""), int(heads.get("cost_pico", 0)), tokens)


def value_of(record):
    value = record["value"]
    return json.loads(value, parse_float=decimal.Decimal) if isinstance(value, str) else value


class Limits:
    """The limits in force at a commit."""

    def __init__(self, rows):
        self.edits = sorted(((r["commit"], value_of(r)) for r in rows), key=lambda e: e[0])

    def newest(self, commit):
        """the edit in force of each scope"""
        newest = {}
        for made, edit in self.edits:
            scope = edit["scope"]
            if made <= commit and edit["edit"] >= newest.get(scope, edit)["edit"]:
                newest[scope] = edit
        return newest

    def at(self, commit):
        """{(scope, period): pico}"""
        return {(scope, period): pico(edit[period])
                for scope, edit in self.newest(commit).items()
                for period in PERIODS if period in edit}

    def paused(self, commit):
        return {scope for scope, edit in self.newest(commit).items() if edit.get("paused")}


# ---- folding ----


def lines_of(job, run, day, max_cost):
    """Every budget line a job counts on: (scope, period, which)"""
    team, feature = queue_of(job)
    which = {"day": day, "month": day[:7], "total": ""}
    lines = [(scope, p, which[p]) for scope in (team, f"{team}/{feature}") for p in PERIODS]
    if (team, feature, run) in max_cost:
        lines.append((f"run:{team}/{feature}/{run}", "total", ""))
    return lines


class Fold:
    """spent, in doubt and reserved per budget line."""

    def __init__(self, max_cost):
        self.max_cost = max_cost
        self.open = {}                                # (job, attempt) -> release
        self.held = {}                                # (job, attempt) -> pico still reserved
        self.tried = collections.Counter()            # (job, attempt) -> tries in doubt so far
        self.gone = collections.Counter()             # line -> pico spent or in doubt
        self.reserved = collections.Counter()
        self.ledger = collections.defaultdict(collections.Counter)
        self.bound_broken = []

    def lines(self, release):
        return lines_of(release.job, release.run, release.day, self.max_cost)

    def release(self, release):
        self.open[release.job, release.attempt] = release
        self.held[release.job, release.attempt] = release.pico
        for line in self.lines(release):
            self.reserved[line] += release.pico

    def charge(self, charge):
        """Ends a reservation or takes a part of it; anything else was counted before, or
        reserved nothing."""
        key = charge.job, charge.attempt
        release = self.open.get(key)
        again = charge.kind == "in_doubt" and not charge.final
        if release is None or not (charge.final or again and charge.try_n > self.tried[key]):
            return
        held = self.held[key]
        if charge.cost > held:
            self.bound_broken.append(charge.job)
        freed = min(charge.cost, held) if again else held
        self.held[key] -= freed
        self.tried[key] = charge.try_n
        if charge.final:
            del self.open[key]
        for line in self.lines(release):
            self.reserved[line] -= freed
            self.count(self.ledger[line], charge)
            if charge.kind in ("usage", "in_doubt"):
                self.gone[line] += charge.cost

    @staticmethod
    def count(row, charge):
        row["jobs"] += charge.final
        if charge.kind == "in_doubt":
            row["in_doubt_pico"] += charge.cost
            row["calls"] += 1
        elif charge.kind == "usage":
            row["spent_pico"] += charge.cost
            row["calls"] += charge.tokens[0] > 0
            names = ("input", "cache_read_input", "cache_write_input", "output",
                     "reasoning_output")
            for name, count in zip(names, charge.tokens):
                row[name + "_tokens"] += count


class Replay:
    """What the records prove; `problems` is empty when everything holds."""

    def __init__(self, records, max_cost=None):
        self.problems, self.peak, self.in_force = [], {}, {}
        self.limits = Limits(records["budgets"])
        runs = [r for r in records["ready"] if r["headers"].get("verdict", "run") == "run"]
        self.releases = sorted(map(read_release, runs), key=lambda r: (r.commit, r.offset))
        self.charges = sorted(map(read_charge, records["spend"]), key=lambda c: c.offset)
        self.fold = Fold(max_cost or {})
        self.checked = 0
        self.check_gaps(records["ready"])
        self.replay()
        self.check_tables(records)

    def problem(self, text):
        self.problems.append(text)

    def check_gaps(self, ready):
        offsets = sorted(r["offset"] for r in ready)
        missing = sorted(set(range(offsets[-1] + 1)) - set(offsets)) if offsets else []
        if missing:
            self.problem(f"{len(missing)} records of `ready` could not be read, "
                         f"the first at offset {missing[0]}")

    def replay(self):
        applied, budgets = 0, 0
        for r in self.releases:
            if r.seen_budgets < budgets or r.seen_spend < applied:
                self.problem(f"release of {r.job} had seen less than the one before it")
            budgets = max(budgets, r.seen_budgets)
            if r.seen_budgets >= r.commit:
                self.problem(f"release of {r.job} names a budget edit of its own future")
            while applied < len(self.charges) and self.charges[applied].offset < r.seen_spend:
                charge = self.charges[applied]
                if charge.commit >= r.commit:
                    self.problem(f"release of {r.job} names a charge of its own future")
                self.fold.charge(charge)
                applied += 1
            self.check_release(r)
            self.fold.release(r)
        self.applied = applied

    def check_release(self, r):
        if r.seen_budgets not in self.in_force:
            self.in_force[r.seen_budgets] = (self.limits.at(r.seen_budgets),
                                             self.limits.paused(r.seen_budgets))
        limits, paused = self.in_force[r.seen_budgets]
        team, feature = queue_of(r.job)
        if paused & {team, f"{team}/{feature}"}:
            self.problem(f"{r.job} was released while its queue was paused")
        for line in self.fold.lines(r):
            scope, period, _ = line
            limit = limits.get((scope, period))
            if scope.startswith("run:"):
                limit = self.fold.max_cost[team, feature, r.run]
            if limit is None:
                continue
            self.checked += 1
            total = self.fold.gone[line] + self.fold.reserved[line] + r.pico
            self.peak[line] = max(self.peak.get(line, (0, 0)), (total, limit))
            if total > limit:
                self.problem(f"release of {r.job} (commit {r.commit}): {'|'.join(line)} had "
                             f"{self.fold.gone[line]} gone, {self.fold.reserved[line]} reserved, "
                             f"{r.pico} more is past {limit}")

    def check_tables(self, records):
        mark = next((int(r["value"]) for r in records["marks"] if r["key"] == "spend"), 0)
        for charge in self.charges[self.applied:]:
            if charge.offset < mark:
                self.fold.charge(charge)
        for job in self.fold.bound_broken:
            self.problem(f"{job} was billed more than was reserved for it")
        ledger = {r["key"]: {k: int(v) for k, v in value_of(r).items()}
                  for r in records["ledger"]}
        mine = {"|".join(line): row for line, row in self.fold.ledger.items()}
        for key in sorted(set(ledger) | set(mine)):
            theirs = {k: v for k, v in ledger.get(key, {}).items() if v}
            own = {k: v for k, v in mine.get(key, {}).items() if v}
            if theirs != own:
                self.problem(f"`ledger` says {theirs} of {key}, its records say {own}")
        opened = {r["key"]: pico(value_of(r)["reserved"]) for r in records["open"]}
        still = {job: self.fold.held[job, attempt] for job, attempt in self.fold.open}
        if opened != still:
            odd = sorted(set(opened.items()) ^ set(still.items()))
            self.problem(f"`open` and the releases without a settlement differ: {odd[:3]}")

    def report(self):
        print(f"{len(self.releases)} releases, {len(self.charges)} spend records, "
              f"{len(self.limits.edits)} budget edits, {self.checked} comparisons with a limit")
        for line, (total, limit) in sorted(self.peak.items()):
            print(f"  {'|'.join(line):<32} at most {total:>16} of {limit:>16} pico-dollars "
                  f"({100 * total / limit:.1f} %)")
        print(f"  ledger: {len(self.fold.ledger)} lines equal their fold" if not self.problems
              else f"  {len(self.problems)} problems")
        for problem in self.problems[:20]:
            print("  PROBLEM " + problem)


# ---- the stand-alone program ----


def max_costs(rows_by_team):
    """{(team, feature, run): pico} of the runs with a --max-cost"""
    found = {}
    for team, rows in rows_by_team.items():
        for row in rows:
            feature, run = row["key"].split("/", 1)
            value = value_of(row)
            if value.get("max_cost") is not None:
                found[team, feature, run] = pico(value["max_cost"])
    return found


def read_text(text):
    return [json.loads(line, parse_float=decimal.Decimal) for line in text.splitlines()]


def cat(program, data, name):
    return read_text(subprocess.run([program, "cat", name, "--data", data], check=True,
                                    capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="the data folder")
    parser.add_argument("--offpeak", default="build/bin/offpeak", help="reads the data folder")
    parser.add_argument("--records", help="a folder with the output of `offpeak cat` in files")
    options = parser.parse_args()
    if bool(options.data) == bool(options.records):
        parser.error("say --data or --records")
    if options.records:
        folder = pathlib.Path(options.records)
        records = {n: read_text((folder / f"{n}.jsonl").read_text()) for n in NAMES}
        runs = {p.name[5:-6]: read_text(p.read_text()) for p in folder.glob("runs.*.jsonl")}
    else:
        records = {n: cat(options.offpeak, options.data, n) for n in NAMES}
        teams = {queue_of(r["headers"]["job"])[0] for r in records["ready"]
                 if "job" in r["headers"]}
        runs = {t: cat(options.offpeak, options.data, "runs." + t) for t in teams}
    replay = Replay(records, max_costs(runs))
    replay.report()
    sys.exit(1 if replay.problems else 0)


if __name__ == "__main__":
    main()
