#!/usr/bin/env python3
"""Runs faults and simulations for hours, one after the other, and keeps a log that says what came of all of them.

Chooses what is furthest from its goal, each time with seeds that were not used before. The log is
docs/campaigns/DATE-COMMIT.md; what it is made of, one line for each run, has the same name with .jsonl. Both are
written after every run: it may be stopped at any moment, and the next call goes on; several may run at a time, each
with --only. A new commit begins a new log.
What a run that did not pass left behind stays in target/campaign.
"""

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "docs" / "campaigns"
KEPT = ROOT / "target" / "campaign"
EXIT_CODES = {0: "pass", 1: "violated"}
SIM_SEEDS = 200
MINUTES = 10
REASONS = r"^(violated: .+|seed \d+: .+|\S+ +\S+ +(?:violated|unknown) .+|raftwork-\w+: .+)$"
# Below this line of a log, people write what they make of it; it stays.
BY_HAND = "## What was found"

_CORRUPT = ["corrupt-wal", "corrupt-sst", "corrupt-manifest", "corrupt-snapshot"]
_POWER = ["power", "power-all", "snapshot-power"]
_MEMBERS = ["grow", "shrink", "replace"]
# What is counted: name, goal, and the faults whose times are added up (none: something else is counted).
GOALS = [
    ("faults on real processes", 1_000, None),
    ("operations checked", 5_000_000, None),
    ("leader kills", 300, ["kill-leader"]),
    ("power failures", 300, _POWER),
    ("power failures of all nodes at once", 60, ["power-all"]),
    ("corruptions", 300, _CORRUPT),
    ("membership changes under load", 50, _MEMBERS),
    ("simulated seeds of 60 s", 20_000, None),
]
# Kinds of runs: what each counts for, its first seed, and the options of `raftwork-chaos run` (none: a simulation).
KINDS = {
    "all-3": (["faults on real processes", "operations checked"], 100_001, ["--nodes", "3"]),
    "all-5": (["operations checked"], 200_001, ["--nodes", "5"]),
    # A node alone has acknowledged a write before it was synced, in other systems: etcd's issue 14370.
    "all-1": (["operations checked"], 700_001, ["--nodes", "1"]),
    "leaders": (["leader kills"], 300_001, ["--nodes", "3", "--period", "1s", "--nemesis", "kill-leader"]),
    "power": (
        ["power failures", "power failures of all nodes at once"],
        400_001,
        ["--nodes", "3", "--period", "1s", "--nemesis", ",".join(_POWER[:2])],
    ),
    "corrupt": (["corruptions"], 500_001, ["--nodes", "3", "--period", "1s", "--nemesis", ",".join(_CORRUPT)]),
    "members": (
        ["membership changes under load"],
        600_001,
        ["--nodes", "3", "--period", "1s", "--nemesis", ",".join(_MEMBERS)],
    ),
    "simulation": (["simulated seeds of 60 s"], 2_000_000, None),
}


def main():
    """Runs until the time is over; 0: all passed, 1: a claim is broken, 2: something was not proved, or wrong usage."""
    options = _parse()
    commit, changed = _commit()
    if changed and not options.dirty:
        sys.exit(f"campaign: not committed: {changed[0]} ...; a log names a commit. --dirty does it all the same")
    log = options.log or LOGS / f"{time.strftime('%Y-%m-%d', time.gmtime())}-{commit}.md"
    log = next(iter(sorted(LOGS.glob(f"*-{commit}.md"))), log) if not options.log else log
    ledger = log.with_suffix(".jsonl")
    log.parent.mkdir(parents=True, exist_ok=True)
    _build()
    until = time.monotonic() + options.hours * 3600
    worst = 0
    while time.monotonic() < until:
        runs = read(ledger)
        kind = choose(runs, options.only)
        seed = claim(kind, next_seed(kind, runs), KEPT)
        run = {**_run(kind, seed, options.jobs), "commit": commit}
        with ledger.open("a") as out:
            out.write(json.dumps(run) + "\n")
        if run["verdict"] == "pass":
            _forget(kind, seed)
        write(log, read(ledger), commit)
        print(f"{run['kind']} {run['seeds']}: {run['verdict']}; {_short(totals(read(ledger)))}", flush=True)
        worst = max(worst, {"pass": 0, "unknown": 1}.get(run["verdict"], 2))
    return {0: 0, 1: 2, 2: 1}[worst]


def _parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=main.__doc__
    )
    parser.add_argument("--hours", type=float, default=8, help="begin no run after so many hours (default 8)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(KINDS), metavar="KIND,...",
                        help=f"these kinds of runs alone, of {', '.join(KINDS)}")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=2, help="simulations at a time (default 2)")
    parser.add_argument("--log", type=Path, help="where the log goes, with its ledger beside it")
    parser.add_argument("--dirty", action="store_true", help="run, although something is not committed")
    options = parser.parse_args()
    unknown = [kind for kind in options.only if kind not in KINDS]
    if unknown:
        parser.error(f"there is no kind of runs {unknown[0]}")
    return options


def _commit():
    """The last commit of anything but texts, and what is not committed."""
    code = [".", ":!docs", ":!*.md"]
    last = _git("log", "-1", "--format=%h", "--", *code)
    return last, _git("status", "--porcelain", "--", *code).splitlines()


def _git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def _build():
    commands = ["source scripts/setup", "cargo build --locked --profile sim -p raftwork-sim"]
    subprocess.run(["bash", "-c", " && ".join(commands)], cwd=ROOT, check=True)


# ------------------------------------------------------------------ one run


def choose(runs, kinds):
    """The kind of run whose goals are furthest away, or was done least if all are reached."""
    done = {name: count / goal for (name, goal, _), count in zip(GOALS, totals(runs).values())}

    def distance(kind):
        reached = min(done[name] for name in KINDS[kind][0])
        return (min(reached, 1.0), sum(run["kind"] == kind for run in runs))

    return min(kinds, key=distance)


def next_seed(kind, runs):
    """A seed that no run of this kind has had."""
    used = [int(run["seeds"].split("..")[0]) for run in runs if run["kind"] == kind]
    return max(used) + _seeds_of_one(kind) if used else KINDS[kind][1]


def _seeds_of_one(kind):
    return SIM_SEEDS if KINDS[kind][2] is None else 1


def claim(kind, seed, kept):
    """That seed, or the next that no other call has taken: several may run at a time, each for some kinds.

    A run has its seed as long as what it says lies in `kept`: until the ledger has it, or for good if it did not pass.
    """
    kept.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            places(kind, seed, kept)[0].touch(exist_ok=False)
            return seed
        except FileExistsError:
            seed += _seeds_of_one(kind)


def places(kind, seed, kept):
    """Where a run leaves what it prints, and where its cluster and its report lie."""
    return kept / f"{kind}-{seed}.txt", kept / f"{kind}-{seed}"


def _forget(kind, seed):
    subprocess.run(["rm", "-rf", *map(str, places(kind, seed, KEPT))], check=True)


def _run(kind, seed, jobs):
    options = KINDS[kind][2]
    said, folder = places(kind, seed, KEPT)
    if options is None:
        seeds = f"{seed}..{seed + _seeds_of_one(kind)}"
        command = [str(ROOT / "target/sim/raftwork-sim"), "--seeds", seeds, "--jobs", str(jobs)]
    else:
        seeds = str(seed)
        command = [str(ROOT / "target/debug/raftwork-chaos"), "run", "--minutes", str(MINUTES), *options]
        # As the log is to say it, on any machine; it runs in ROOT.
        command += ["--seed", seeds, "--folder", str(folder.relative_to(ROOT))]
    started = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    begun = time.monotonic()
    environment = {**os.environ, "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}
    with said.open("w") as out:
        code = subprocess.run(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT).returncode
    text = said.read_text(errors="replace")
    run = {"kind": kind, "seeds": seeds, "started": started, "took_s": round(time.monotonic() - begun)}
    run.update(verdict=EXIT_CODES.get(code, "unknown"), command=shlex.join(command[1:]), **understand(text))
    return run


def understand(text):
    """What a run printed: operations, faults, rate, and why it did not pass, without a machine's paths."""
    told = {"operations": 0, "faults": {}, "rate": None, "simulated": 0, "reason": ""}
    if found := re.search(r"^\w+: (\d+) operations answered", text, re.MULTILINE):
        told["operations"] = int(found[1])
    if found := re.search(r"^faults: (.+)$", text, re.MULTILINE):
        pairs = [one.rsplit(" ", 1) for one in found[1].split(", ")]
        told["faults"] = {name: int(times) for name, times in pairs}
    if found := re.search(r"carried out; (\d+) a second", text):
        told["rate"] = int(found[1])
    if found := re.search(r"^(\d+) seeds in .*?, (\d+) faults", text, re.MULTILINE):
        told["simulated"] = int(found[1])
    reasons = re.findall(REASONS, text, re.MULTILINE)
    told["reason"] = " ".join(reasons[0].replace(f"{ROOT}/", "").split())[:200] if reasons else ""
    return told


# ------------------------------------------------------------------ the log


def read(ledger):
    """Every run so far."""
    if not ledger.exists():
        return []
    return [json.loads(line) for line in ledger.read_text().splitlines()]


def totals(runs):
    """What all runs that proved something add up to, by the names of the goals."""
    # A violation was checked, too; what is unknown proves nothing.
    counted = [run for run in runs if run["verdict"] != "unknown"]
    sums = {}
    for name, _, faults in GOALS:
        if faults:
            sums[name] = sum(run["faults"].get(fault, 0) for run in counted for fault in faults)
    return {
        "faults on real processes": sum(sum(run["faults"].values()) for run in counted),
        "operations checked": sum(run["operations"] for run in counted),
        **sums,
        "simulated seeds of 60 s": sum(run["simulated"] for run in counted),
    }


def _short(sums):
    return ", ".join(f"{count:,} {name}" for name, count in sums.items())


def write(log, runs, commit):
    """Writes the log anew; what people wrote in it stays."""
    by_hand = f"{BY_HAND}\n\nNothing yet.\n"
    if log.exists() and BY_HAND in log.read_text():
        by_hand = BY_HAND + log.read_text().split(BY_HAND, 1)[1]
    log.write_text("\n".join([*_pages(runs, commit), by_hand]))


def _pages(runs, commit):
    wrong = [run for run in runs if run["verdict"] != "pass"]
    violated = sum(run["verdict"] == "violated" for run in wrong)
    first, last = runs[0]["started"], runs[-1]["started"]
    hours = sum(run["took_s"] for run in runs) / 3600
    yield f"# Campaign, {first[:10]}\n"
    yield (
        f"Commit `{commit}`, `scripts/campaign.py`, {len(runs)} runs from {first} to {last} (UTC), {hours:.1f} hours: "
        f"**{violated} violated**, {len(wrong) - violated} unknown.\n"
    )
    yield "| | done | goal |\n|---|---|---|"
    goals = {name: goal for name, goal, _ in GOALS}
    for name, count in totals(runs).items():
        yield f"| {name} | {count:,} | {goals[name]:,} |"
    yield "\n## Runs\n\n| kind | runs | seeds | faults | operations | a second in calm, median | pass |"
    yield "|---|---|---|---|---|---|---|"
    for kind in KINDS:
        mine = [run for run in runs if run["kind"] == kind]
        if mine:
            yield _row(kind, mine)
    yield "\n## Faults that took effect\n"
    faults = sorted({name for run in runs for name in run["faults"]})
    yield ", ".join(f"{name} {sum(run['faults'].get(name, 0) for run in runs):,}" for name in faults) or "None."
    yield "\n## What did not pass\n"
    if not wrong:
        yield "Nothing.\n"
        return
    yield "| started | run | verdict | reason |\n|---|---|---|---|"
    for run in wrong:
        reason = run["reason"].replace("|", "\\|")
        yield f"| {run['started']} | `{_shown(run)}` | {run['verdict']} | {reason} |"
    yield ""


def _row(kind, runs):
    seeds = f"{runs[0]['seeds'].split('..')[0]} to {runs[-1]['seeds'].split('..')[-1]}"
    rates = [run["rate"] for run in runs if run["rate"] is not None]
    rate = f"{statistics.median(rates):.0f}" if rates else "-"
    faults, operations = sum(sum(run["faults"].values()) for run in runs), sum(run["operations"] for run in runs)
    passed = sum(run["verdict"] == "pass" for run in runs)
    return f"| {kind} | {len(runs)} | {seeds} | {faults:,} | {operations:,} | {rate} | {passed} |"


def _shown(run):
    return re.sub(r" --folder \S+", "", run["command"])


if __name__ == "__main__":
    sys.exit(main())
