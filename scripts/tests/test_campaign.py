"""What the log of a campaign says, and what it runs next."""

import importlib.util
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("campaign", Path(__file__).parent.parent / "campaign.py")
campaign = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(campaign)

SAID = """\
   612.1 s  18 faults
   640.0 s  301522 operations were carried out; 812 a second in the 122 s in which nothing was broken
I2 one-ending     pass      9 tasks
I14 coverage      unknown   planned faults that never happened: skew

faults: kill-leader 3, power-all 2
unknown: 301000 operations answered (5 refused), 1 failed, 2 without an answer; again: raftwork-chaos run --seed 7
"""
SIMULATED = "200 seeds in 50 s (4.0 a second), 3.5 virtual hours, 11000 faults, 9 tasks, 8 events: nothing was wrong\n"


def run(kind, seeds, verdict="pass", **told):
    """One run of a ledger."""
    empty = {"operations": 0, "faults": {}, "rate": None, "simulated": 0, "reason": ""}
    known = {"kind": kind, "seeds": seeds, "started": "2026-11-28 08:00", "took_s": 60, "command": "run --seed 1"}
    return {**known, **empty, "verdict": verdict, **told}


def test_what_a_run_printed_is_understood():
    told = campaign.understand(SAID)
    assert (told["operations"], told["rate"]) == (301_000, 812)
    assert told["faults"] == {"kill-leader": 3, "power-all": 2}
    assert told["reason"] == "I14 coverage unknown planned faults that never happened: skew"
    assert campaign.understand(SIMULATED)["simulated"] == 200


def test_a_reason_names_the_place_of_no_machine():
    told = campaign.understand(f"raftwork-chaos: {campaign.ROOT}/target/campaign/power-400002 exists already\n")
    assert told["reason"] == "raftwork-chaos: target/campaign/power-400002 exists already"


def test_a_run_that_proved_nothing_counts_for_nothing():
    faults = {"kill-leader": 3, "power-all": 2, "power": 1}
    runs = [run("all-3", "1", faults=faults, operations=10), run("all-3", "2", "unknown", faults=faults, operations=10)]
    sums = campaign.totals(runs)
    assert list(sums) == [name for name, _, _ in campaign.GOALS]
    assert (sums["operations checked"], sums["faults on real processes"]) == (10, 6)
    assert (sums["power failures"], sums["power failures of all nodes at once"]) == (3, 2)


def test_the_furthest_goal_is_next_and_no_seed_is_used_twice():
    runs = [run("simulation", "2000000..2000200", simulated=200)]
    assert campaign.choose(runs, ["simulation", "leaders"]) == "leaders"
    runs.append(run("leaders", "300001", faults={"kill-leader": 299}))
    assert campaign.choose(runs, ["simulation", "leaders"]) == "simulation"
    assert campaign.next_seed("simulation", runs) == 2_000_200
    assert campaign.next_seed("leaders", runs) == 300_002
    assert (campaign.next_seed("all-3", runs), campaign.next_seed("simulation", [])) == (100_001, 2_000_000)


def test_a_seed_that_another_call_is_busy_with_is_not_taken(tmp_path):
    first = campaign.next_seed("leaders", [])
    assert campaign.claim("leaders", first, tmp_path) == first
    assert campaign.claim("leaders", first, tmp_path) == first + 1
    assert campaign.claim("power", campaign.next_seed("power", []), tmp_path) == 400_001
    assert campaign.claim("simulation", 2_000_000, tmp_path) == 2_000_000
    assert campaign.claim("simulation", 2_000_000, tmp_path) == 2_000_200


def test_the_log_is_written_anew_and_keeps_what_people_wrote(tmp_path):
    log = tmp_path / "log.md"
    campaign.write(log, [run("all-3", "1", operations=1_234_567, rate=600)], "abc1234")
    assert "| operations checked | 1,234,567 | 5,000,000 |" in log.read_text()
    assert "**0 violated**, 0 unknown" in log.read_text()
    log.write_text(log.read_text().replace("Nothing yet.", "A bug, mended."))
    campaign.write(log, [run("all-3", "1"), run("all-3", "2", "violated", reason="I1 durable violated a|b")], "abc1234")
    assert log.read_text().endswith("## What was found\n\nA bug, mended.\n")
    assert "| violated | I1 durable violated a\\|b |" in log.read_text()
