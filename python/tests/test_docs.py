"""The pages for users do what they say: their code runs on a real cluster, in order, and prints what they print.

``python`` blocks that begin with ``# NAME.py`` are written to that file; the others of a page are one script.
``console`` blocks are commands after ``$ `` with their output, in which ``...`` stands for anything. Blocks of other
kinds (``py``, ``sh``) are not run: they are other systems' code, or what a reader does once.
"""

import doctest
import os
import re
import subprocess
from pathlib import Path
from typing import Iterator, List, NamedTuple, Tuple

import pytest
from conftest import ROOT, Cluster

pytestmark = pytest.mark.cluster

PAGES = [
    "tutorial.md",
    "howto.md",
    "executor.md",
    "from-celery.md",
    "from-dask.md",
    "from-globus-compute.md",
]
FORGIVING = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    kind: str
    text: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    text = (ROOT / "docs" / page).read_text()
    for found in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(found[1], found[2], text.count("\n", 0, found.start()) + 1)


def commands(console: str) -> Iterator[Tuple[str, str]]:
    """Each command with the output that follows it."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(cluster: Cluster, page: str) -> None:
    script: List[str] = []
    try:
        for block in blocks(page):
            name = re.match(r"# (\w+\.py)\n", block.text)
            if block.kind == "python" and name:
                (cluster.folder / name[1]).write_text(block.text)
            elif block.kind == "python":
                # Errors then name the page's own lines.
                script += [""] * (block.line - sum(one.count("\n") + 1 for one in script))
                script.append(block.text.rstrip("\n"))
            elif block.kind == "console":
                for command, expected in commands(block.text):
                    run(cluster, f"{page}, line {block.line}", command, expected)
        if script:
            run_script(cluster, page, "\n".join(script))
    finally:
        cluster.mend()


def run_script(cluster: Cluster, page: str, text: str) -> None:
    place = cluster.folder / f"{Path(page).stem.replace('-', '_')}_page.py"
    place.write_text(text)
    done = cluster.python(str(place))
    assert done.returncode == 0, f"{page}:\n{done.stdout}{done.stderr}"


def run(cluster: Cluster, place: str, command: str, expected: str) -> None:
    environment = {**os.environ, "RAFTWORK_URL": ",".join(cluster.urls)}
    if command.startswith("curl "):
        # curl takes one URL, where Raftwork takes several.
        environment["RAFTWORK_URL"] = cluster.urls[0]
    # Not checked for its exit code: some of the pages' commands are meant to fail, and what they print tells.
    done = subprocess.run(
        command, shell=True, cwd=cluster.folder, env=environment, capture_output=True, text=True, timeout=120
    )
    said = done.stdout + done.stderr
    checker = doctest.OutputChecker()
    if not expected.endswith("\n"):
        expected += "\n"
    matches = checker.check_output(expected, said, FORGIVING)
    example = doctest.Example(command, expected)
    assert matches, f"{place}: $ {command}\n{checker.output_difference(example, said, FORGIVING)}"


def test_every_page_is_checked_or_has_nothing_to_run() -> None:
    unchecked = {path.name for path in (ROOT / "docs").glob("*.md")} - set(PAGES)
    kinds = {(page, block.kind) for page in unchecked for block in blocks(page)}
    assert not {page for page, kind in kinds if kind == "python"}, kinds


def test_links_between_pages_lead_somewhere() -> None:
    dead = []
    for page in (ROOT / "docs").glob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / link).exists():
                dead.append(f"{page.name}: {link}")
    assert dead == []
