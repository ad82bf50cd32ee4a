"""Writes ``docs/api.md`` from the package's docstrings: every public name, in the order in which it is met.

python scripts/api_reference.py [--check]     --check: fail if the page is not what would be written
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import raftwork

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"

#: Sections of the page: title, and names in the order of reading.
SECTIONS: list[tuple[str, list[str]]] = [
    ("Clients", ["Client", "Function", "Handle", "MapResults", "Executor"]),
    ("Limits and schedules", ["Limits", "Schedules", "Schedule"]),
    (
        "asyncio",
        [
            "AsyncClient",
            "AsyncFunction",
            "AsyncHandle",
            "AsyncMapResults",
            "AsyncLimits",
            "AsyncSchedules",
            "AsyncSchedule",
        ],
    ),
    ("Inside a task", ["current_task", "Task", "TaskTimeout", "TaskCancelled"]),
]
#: Methods that are for the package's own threads, though other modules of it call them.
INTERNAL = {"ended", "ended_together", "ready_now"}


def page() -> str:
    """The whole page."""
    lines = [
        "# API",
        "",
        "Made from the docstrings by `scripts/api_reference.py`. Everything is a name of `raftwork`.",
    ]
    known = {name for _, names in SECTIONS for name in names}
    rest = [name for name in raftwork.__all__ if name not in known]
    errors = sorted((getattr(raftwork, name) for name in rest), key=lambda kind: (len(kind.__mro__), kind.__name__))
    for title, names in SECTIONS:
        lines += ["", f"## {title}"]
        for name in names:
            lines += ["", *_entry(name, getattr(raftwork, name))]
    lines += ["", "## Exceptions and warnings", "", "| name | is a | meaning |", "|---|---|---|"]
    for kind in errors:
        bases = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
        lines.append(f"| `{kind.__name__}` | {bases} | {_one_line(kind)} |")
    return "\n".join(lines) + "\n"


def _entry(name: str, value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        yield f"### `{name}{_signature(value)}`"
        yield ""
        yield from _text(value)
        return
    yield f"### {name}"
    yield ""
    yield from _text(value)
    for member, attribute in value.__dict__.items():
        if member.startswith("_") or member in INTERNAL:
            continue
        plain = attribute.fget if isinstance(attribute, property) else attribute
        if not inspect.isfunction(plain):
            continue
        call = member if isinstance(attribute, property) else f"{member}{_signature(plain)}"
        yield ""
        yield f"#### `{name}.{call}`"
        yield ""
        yield from _text(plain)


def _signature(function: Any) -> str:
    """Parameters with their defaults; types are in the stubs, for tools."""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self"
    ]
    text = str(inspect.Signature(parameters))
    return f"async {text}" if inspect.iscoroutinefunction(function) else text


def _text(value: Any) -> list[str]:
    return (inspect.getdoc(value) or "").replace("``", "`").splitlines()


def _one_line(value: Any) -> str:
    return " ".join((inspect.getdoc(value) or "").replace("``", "`").split())


def main() -> int:
    """Write the page, or compare it."""
    text = page()
    if "--check" in sys.argv[1:]:
        if PAGE.read_text() != text:
            print("docs/api.md is not what the docstrings say; run: python scripts/api_reference.py", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
