"""Drawing plots into files."""

from pathlib import Path
from typing import List

from .report import Plot
from .say import say


def draw(plots: List[Plot], folder: Path) -> List[Path]:
    """Writes each plot as SVG; none if matplotlib is not there."""
    if not plots:
        return []
    try:
        import matplotlib
    except ImportError:
        say("no plots: matplotlib is missing")
        return []
    matplotlib.use("svg")
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw(plot, folder / f"{plot.name}.svg") for plot in plots]


def _draw(plot: Plot, path: Path) -> Path:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    for label, (xs, ys) in plot.lines.items():
        axes.plot(xs, ys, label=label, linewidth=1.2)
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if len(plot.lines) > 1:
        axes.legend()
    figure.savefig(path)
    pyplot.close(figure)
    return path
