"""What people are told at the moment of the submit, before anything can go wrong far away."""

import os
import socket
import sys
import threading
import types
import warnings
from pathlib import Path
from typing import Any, Iterator

import dill
import pytest
from fake_core import FakeCore

import raftwork
from raftwork import Client, SerializationError, _sizes
from raftwork._explain import locate
from raftwork._modules import local_place, modules_of, pack
from raftwork._serialize import dump_arguments, dump_function


class Holder:
    def __init__(self, value: Any) -> None:
        self.value = value


class Slotted:
    __slots__ = ("connection",)


@pytest.fixture(autouse=True)
def first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first large payloads of a process are described: those of other tests are not to count."""
    monkeypatch.setattr(_sizes, "_described_count", 0)


@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda culprit: culprit, "argument 0"),
        (lambda culprit: {"db": [1, (2, culprit)]}, "argument 0['db'][1][1]"),
        (lambda culprit: Holder({"x": Holder(culprit)}), "argument 0.value['x'].value"),
        (lambda culprit: lambda: culprit, "argument 0's variable 'culprit'"),
        (lambda culprit: Holder(culprit).__init__, "argument 0.__self__.value"),
    ],
)
def test_the_object_inside_an_argument_is_named(wrap: Any, place: str) -> None:
    culprit = (n for n in ())
    with pytest.raises(SerializationError) as caught:
        dump_arguments([wrap(culprit)], {})
    assert str(caught.value).startswith(f"cannot pickle {place}, a generator: ")


def test_slots_and_loops_are_followed() -> None:
    with socket.socket() as connection:
        slotted, loop = Slotted(), [1]
        slotted.connection = connection
        loop.append({"self": loop, "that": slotted})
        place, culprit = locate("argument 0", loop)
        assert (place, culprit) == ("argument 0[1]['that'].connection", connection)


def test_the_object_inside_a_captured_variable_is_named() -> None:
    settings = {"stream": (n for n in ())}

    def work() -> Any:
        return settings["stream"]

    with pytest.raises(SerializationError, match=r"it uses 'settings'\['stream'\], a generator"):
        dump_function(work)


def test_large_arguments_are_warned_of(client: Client, core: FakeCore) -> None:
    with pytest.warns(raftwork.LargePayloadWarning, match="the largest is argument 'data', a bytes of 3.0 MiB") as told:
        client._function_of(dict).submit(n=1, data=bytes(3 << 20))
    assert told[0].filename == __file__, "the warning points into the package"


def test_a_function_that_captured_data_is_warned_of(client: Client, core: FakeCore) -> None:
    table = bytes(2 << 20)

    @client.function
    def lookup(n: int) -> int:
        return table[n]

    with pytest.warns(raftwork.LargePayloadWarning, match=r"it captures 'table', a bytes of 2\.0 MiB"):
        lookup.submit(1).result(5)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of modules that only this machine has."""
    package = tmp_path / "mypackage"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "data.txt").write_text("seven")
    (package / "jobs.py").write_text("from mypackage import sums\ndef report(n):\n    return sums.double(n)\n")
    (package / "sums.py").write_text("class Sum:\n    pass\ndef double(n):\n    return 2 * n\n")
    (tmp_path / "alone.py").write_text("LIMIT = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mypackage", "alone")]:
        del sys.modules[name]


def test_a_module_that_workers_may_miss_is_named_with_the_fix(local: Path, client: Client) -> None:
    from mypackage.jobs import report

    with pytest.warns(raftwork.MissingModuleWarning) as told:
        client.submit(report, 2)
    text = str(told[0].message)
    assert "function 'report' imports 'mypackage'" in text and "include=['mypackage']" in text
    assert told[0].filename == __file__


def test_what_every_worker_has_is_not_warned_of(local: Path, client: Client) -> None:
    import json

    @client.function
    def work(text: str) -> Any:
        return json.loads(text), dill.__name__, threading.get_ident()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        work.submit("1").result(5)
        from mypackage.jobs import report

        assert client.function(include=[])(report).submit(2).result(5) == 4


def test_modules_are_found_in_a_pickle_and_strings_are_not(local: Path) -> None:
    import alone
    from mypackage import jobs
    from mypackage.sums import Sum

    def by_name() -> Any:
        return alone.LIMIT, "mypackage", os.sep

    assert modules_of(dill.dumps(by_name, recurse=True)) & {"alone", "mypackage", "os"} == {"alone", "os"}
    for protocol in (0, 2, 4, 5):
        assert "mypackage" in modules_of(dill.dumps(jobs.report, protocol=protocol))
        assert "mypackage" in modules_of(dill.dumps([Sum(), Sum()], protocol=protocol))
    assert local_place("os") is None and local_place("pytest") is None
    assert local_place("alone") == os.path.realpath(local / "alone.py")


def test_included_modules_are_packed_the_same_each_time(local: Path) -> None:
    archive = pack(["mypackage", "alone"])
    (local / "mypackage" / "__pycache__").mkdir(exist_ok=True)
    (local / "mypackage" / "__pycache__" / "x.pyc").write_text("compiled")
    assert pack(["alone", str(local / "mypackage")]) == archive
    with pytest.raises(SerializationError, match="include=\\['nothing_here'\\]"):
        pack(["nothing_here"])


def test_included_modules_are_importable_where_they_are_not(local: Path, client: Client, core: FakeCore) -> None:
    from mypackage.jobs import report

    client.function(include=["mypackage"])(report).submit(2)
    [function] = core.functions.values()
    # As a worker does, in a process that has no such folder.
    said = run_as_worker(function["code"], "2")
    assert said == "4 seven gone\n"


WORKER = """
def main():
    # Everything here, because the table empties this module.
    import os, sys
    from raftwork._runtime import load as load_parts
    load_parts("frames", "include", "environment", "functions")
    from raftwork._runtime.functions import Function, FunctionTable, load
    table, results, argument = FunctionTable(), [], int(sys.argv[1])
    keys = [b"%d" % number for number in range(len(sys.argv) - 2)]
    for key, path in zip(keys, sys.argv[2:]):
        table.add(Function(key, 0, "report", open(path, "rb").read()))
    for key in [*keys, *keys]:
        results.append(load(table.enter(key))(argument))
        import mypackage
        results.append(open(os.path.join(os.path.dirname(mypackage.__file__), "data.txt")).read())
    # One that brought nothing must not meet what others did.
    source = b"def look(_):\\n    try:\\n        import mypackage\\n    except ImportError:\\n        return 'gone'\\n"
    table.add(Function(b"plain", 1, "look", source))
    results.append(load(table.enter(b"plain"))(0))
    print(*dict.fromkeys(results))
main()
"""


def run_as_worker(*codes: Any) -> str:
    import subprocess
    import tempfile

    *codes, argument = codes
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, code in enumerate(codes):
            paths.append(os.path.join(folder, str(number)))
            Path(paths[-1]).write_bytes(code)
        environment = {**os.environ, "XDG_CACHE_HOME": folder}
        done = subprocess.run(
            [sys.executable, "-c", WORKER, argument, *paths],
            env=environment,
            capture_output=True,
            text=True,
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def test_two_versions_of_an_included_module_do_not_mix(local: Path, client: Client, core: FakeCore) -> None:
    from mypackage.jobs import report

    client.function(include=["mypackage"])(report).submit(2)
    (local / "mypackage" / "sums.py").write_text("def double(n):\n    return 200 * n\n")
    (local / "mypackage" / "data.txt").write_text("eight")
    client.function(include=["mypackage"])(report).submit(2)
    first, second = (function["code"] for function in core.functions.values())
    assert run_as_worker(first, second, "2") == "4 seven 400 eight gone\n"


def test_a_module_object_is_no_culprit() -> None:
    assert isinstance(os, types.ModuleType) and locate("argument 0", [os])[0] == "argument 0"
