"""Where things are in the checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"
DRIVERS = BENCH / "drivers"
#: Everything that the suite makes; nothing of it is kept in git.
TARGET = ROOT / "target" / "bench"
VENV = TARGET / "venv"
#: Copies of the binaries that are measured, so that a build under way changes nothing.
BINARIES = TARGET / "binaries"
PEERS = TARGET / "peers"
#: Data folders of what runs; emptied after each run. On the disk of the checkout, never in memory.
SCRATCH = TARGET / "scratch"
RESULTS = TARGET / "results"
