"""Functions that ask for packages: workers install them, once, and keep them apart."""

import os
import zipfile
from pathlib import Path

import pytest
from conftest import Cluster

import raftwork
from raftwork import Client

pytestmark = pytest.mark.cluster


def wheel(folder: Path, version: str, source: str) -> str:
    """A package that pip can install without asking anybody; returns how a requirement names it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tinypackage-{version}-py3-none-any.whl"
    info = f"tinypackage-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tinypackage.py", source)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tinypackage\nVersion: {version}\n")
        about = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", about)
        archive.writestr(f"{info}/RECORD", f"tinypackage.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return f"tinypackage @ {path.as_uri()}"


def test_a_function_gets_the_packages_that_it_asks_for(connected: Client, tmp_path: Path) -> None:
    def version(_: int) -> str:
        import tinypackage

        return str(tinypackage.VERSION)

    old = connected.function(requirements=[wheel(tmp_path, "1.0", "VERSION = 'old'\n")])(version)
    new = connected.function(requirements=[wheel(tmp_path, "2.0", "VERSION = 'new'\n")])(version)
    first = old.submit(0)
    assert first.result(120) == "old"
    assert "building an environment with tinypackage" in first.logs()
    again = old.submit(1)
    assert again.result(60) == "old" and "building" not in again.logs(), "it was built before"
    # In turn, on the same few processes: each keeps its own.
    handles = [function.submit(n) for n in range(10) for function in (old, new)]
    assert [handle.result(120) for handle in handles] == ["old", "new"] * 10
    with pytest.raises(ModuleNotFoundError):
        connected.submit(version, 0).result(60)


def test_an_environment_that_cannot_be_built_says_why(connected: Client, tmp_path: Path) -> None:
    @connected.function(requirements=[f"tinypackage @ {(tmp_path / 'nowhere.whl').as_uri()}"])
    def work() -> None:
        return None

    with pytest.raises(raftwork.TaskLoadError, match="could not be built; correct `requirements`") as caught:
        work.submit().result(120)
    assert "nowhere.whl" in str(caught.value)


def test_compiled_modules_of_one_function_meet_no_other(connected: Client, tmp_path: Path) -> None:
    """Two versions of a compiled module in one process would crash it: whoever has loaded one runs nothing else."""
    source = "import _bisect, sys\nsys.modules['tinypackage'].__file__ = '/somewhere/tinypackage.so'\n"
    native = wheel(tmp_path, "3.0", source)

    def process() -> int:
        import tinypackage  # noqa: F401

        return os.getpid()

    function = connected.function(requirements=[native])(process)
    pids = [function.submit().result(120) for _ in range(4)]
    assert len(set(pids)) == 4


def test_the_command_line_installs_too(cluster: Cluster, tmp_path: Path) -> None:
    requirement = wheel(tmp_path, "4.0", "VERSION = 4\n")
    (cluster.folder / "tiny.py").write_text("def version():\n    import tinypackage\n    return tinypackage.VERSION\n")
    assert cluster.run("run", "--requirement", requirement, "tiny.py:version") == "4\n"


def test_packages_and_modules_come_together(connected: Client, tmp_path: Path) -> None:
    module = tmp_path / "mine.py"
    module.write_text("import tinypackage\nVALUE = tinypackage.VERSION\n")

    @connected.function(include=[str(module)], requirements=[wheel(tmp_path, "5.0", "VERSION = 5\n")])
    def value() -> int:
        import mine

        return int(mine.VALUE)

    assert value.submit().result(120) == 5
