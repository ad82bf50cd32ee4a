"""Single keys from a terminal, for commands that draw on all of it."""

import select
import sys
from typing import Any, List


class Keys:
    """The terminal as a screen: keys come without Enter, and what was there before comes back at the end."""

    def __enter__(self) -> "Keys":
        self._restore: List[Any] = []
        if sys.stdin.isatty():
            import termios
            import tty

            self._restore = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        # The alternate screen, without a cursor.
        sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[2J")
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
        if self._restore:
            import termios

            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._restore)

    def pressed(self, within: float) -> str:
        """The key that is pressed within so many seconds; empty if none is."""
        if not self._restore:
            # Keys come from elsewhere; only the time passes.
            select.select([], [], [], within)
            return ""
        ready, _, _ = select.select([sys.stdin], [], [], within)
        return sys.stdin.read(1) if ready else ""
