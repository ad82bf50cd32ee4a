"""The Rust core as far as it needs no cluster."""

import subprocess
import sys
from pathlib import Path

import pytest

import raftwork
from raftwork import Client
from raftwork._core import Core, new_task_ids
from raftwork._span import milliseconds

NOWHERE = "http://127.0.0.1:9"


def test_ids_sort_by_time() -> None:
    ids = new_task_ids(1000)
    assert len(set(ids)) == 1000 and sorted(ids) == ids and {len(id) for id in ids} == {16}


def test_a_cluster_that_is_not_there_is_named() -> None:
    with Client(NOWHERE, patience=0.3) as client, pytest.raises(raftwork.Unavailable, match=r"127\.0\.0\.1:9"):
        client.submit(abs, -1)
    with Client(NOWHERE, patience=0.3) as client, pytest.raises(raftwork.Unavailable, match=r"127\.0\.0\.1:9"):
        client.rest("GET", "/v1/cluster")


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(ValueError, match="ftp://x"):
        Client("ftp://x")
    with pytest.raises(ValueError, match="no URL"):
        Client([])


def test_the_environment_names_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAFTWORK_URL", "http://a:1, http://b:2")
    assert Client().urls == ["http://a:1", "http://b:2"]
    monkeypatch.delenv("RAFTWORK_URL")
    assert Client().urls == ["http://127.0.0.1:7001"]


def test_a_closed_core_says_so() -> None:
    core = Core([NOWHERE], 1.0)
    core.close()
    core.close()
    with pytest.raises(RuntimeError, match="closed"):
        core.status(bytes(16))


def test_wrong_values_are_refused() -> None:
    core = Core([NOWHERE], 1.0)
    with pytest.raises(ValueError, match="16 bytes"):
        core.status(b"short")
    with pytest.raises(ValueError, match="1 ids for 2"):
        core.submit(bytes(16), [bytes(16)], [b"", b""])


FORKED = """
import os, raftwork
client = raftwork.Client("http://127.0.0.1:9", patience=0.2)
try:
    client.submit(abs, 1)
except raftwork.Unavailable:
    pass
pid = os.fork()
if pid == 0:
    try:
        client.submit(abs, 1)
    except RuntimeError as error:
        os._exit(42 if "fork" in str(error) else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
"""


def test_a_client_says_that_it_does_not_survive_a_fork() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


INTERRUPTED = """
import raftwork, signal
client = raftwork.Client("http://127.0.0.1:9", patience=600)
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.5)
try:
    client.submit(abs, 1)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_ends_a_wait() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60)
    assert done.stdout == "interrupted\n", done.stderr


IMPORT = """
import sys
before = set(sys.modules)
import raftwork
loaded = set(sys.modules) - before
assert not loaded & {"dill", "asyncio", "concurrent.futures", "raftwork._core", "raftwork._client"}, loaded
# Each of these takes milliseconds, and a script that only defines functions needs none.
heavy = {"typing", "re", "enum", "ssl", "socket", "http", "urllib", "logging", "inspect", "pickle", "json", "argparse"}
assert not {name for name in loaded if name.partition(".")[0] in heavy}, loaded
assert [name for name in loaded if name.startswith("raftwork")] == ["raftwork"], loaded
assert set(raftwork.__all__) <= set(dir(raftwork))
for name in raftwork.__all__:
    getattr(raftwork, name)
"""


def test_importing_the_package_loads_nothing_heavy_and_every_name_is_there() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [("250ms", 250), ("30s", 30_000), ("1.5m", 90_000), ("7d", 604_800_000), ("3", 3000), (0.25, 250)],
)
def test_spans_are_read(text: "str | float", expected: int) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1y", -1, float("nan"), float("inf")])
def test_what_is_no_span_is_refused(text: "str | float") -> None:
    with pytest.raises(ValueError, match="length of time"):
        milliseconds(text)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="older Pythons write signatures in another way")
def test_the_page_of_the_api_is_what_the_docstrings_say() -> None:
    script = Path(__file__).resolve().parents[2] / "scripts" / "api_reference.py"
    if not script.exists():
        pytest.skip("the tests run without the checkout")
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
