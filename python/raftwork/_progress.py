"""A bar for ``map``: how many tasks have ended, at what rate, and how long the rest will take."""

import sys
import time
from typing import Optional, TextIO

#: Seconds between two drawings.
DRAW_EVERY = 0.1
WIDTH = 30


class Bar:
    """Draws on a terminal, in place; ``total`` may be unknown. On anything but a terminal it is silent."""

    def __init__(self, total: Optional[int], stream: Optional[TextIO] = None, label: str = "") -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._on = is_terminal(self._stream)
        self._total = total
        self._label = f"{label} " if label else ""
        self._begun = time.monotonic()
        self._drawn_at = 0.0
        self._drawn = ""

    def show(self, done: int, failed: int = 0) -> None:
        """Draw the bar, unless that was done a moment ago."""
        now = time.monotonic()
        if self._on and now - self._drawn_at >= DRAW_EVERY:
            self._drawn_at = now
            self._draw(line(done, failed, self._total, now - self._begun))

    def close(self, done: int, failed: int = 0) -> None:
        """Draw it for the last time."""
        if self._on:
            self._draw(line(done, failed, self._total, time.monotonic() - self._begun))
            self._stream.write("\n")
            self._stream.flush()
            self._on = False

    def _draw(self, text: str) -> None:
        text = self._label + text
        self._stream.write("\r" + text.ljust(len(self._drawn)))
        self._stream.flush()
        self._drawn = text


def line(done: int, failed: int, total: Optional[int], seconds: float) -> str:
    """The text of a bar."""
    rate = done / seconds if seconds > 0 else 0.0
    parts = [f"{done}" if total is None else f"{done}/{total}"]
    if failed:
        parts.append(f"{failed} failed")
    parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
    if total is not None and 0 < done < total:
        parts.append(f"{_clock((total - done) / rate)} left")
    else:
        parts.append(_clock(seconds))
    if not total:
        return "  ".join(parts)
    filled = WIDTH * done // total
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}] " + "  ".join(parts)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody looks at it."""
    try:
        return stream.isatty()
    except ValueError:
        # Closed.
        return False
