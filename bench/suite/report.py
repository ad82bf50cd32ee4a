"""What an experiment hands back: tables to read, plots to look at, data to keep."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Sequence, Tuple


@dataclass
class Table:
    """Rows of text under a title."""

    title: str
    columns: Sequence[str]
    rows: List[Sequence[str]] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """Adds a row."""
        self.rows.append([str(cell) for cell in cells])

    def __str__(self) -> str:
        lines = [list(self.columns), *map(list, self.rows)]
        widths = [max(len(line[index]) for line in lines) for index in range(len(self.columns))]
        numeric = [index > 0 and all(_is_figure(row[index]) for row in self.rows) for index in range(len(self.columns))]
        rule = ["-" * width for width in widths]
        text = [f"## {self.title}", ""]
        for cells in (lines[0], rule, *lines[1:]):
            padded = (_pad(cell, width, right) for cell, width, right in zip(cells, widths, numeric))
            text.append("| " + " | ".join(padded) + " |")
        return "\n".join([*text, *([""] if self.notes else []), *self.notes, ""])


def _pad(cell: str, width: int, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)


def _is_figure(cell: str) -> bool:
    return cell in ("", "-") or cell[:1].isdigit()


@dataclass(frozen=True)
class Plot:
    """Lines over a common axis."""

    #: Of the file.
    name: str
    title: str
    x: str
    y: str
    #: Label to the points of a line.
    lines: Dict[str, Tuple[Sequence[float], Sequence[float]]]


@dataclass
class Report:
    """All of it."""

    tables: List[Table] = field(default_factory=list)
    plots: List[Plot] = field(default_factory=list)
    #: As JSON: everything that was measured, not only what the tables show.
    data: Any = None


def number(value: float) -> str:
    """Three significant digits or all digits before the point, thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.095 or value == 0 else f"{value:.3f}"


def size(count: float) -> str:
    """Bytes, for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{number(count)} {unit}"
