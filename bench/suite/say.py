"""Progress, on standard error."""

import sys
import time

_BEGAN = time.monotonic()


def say(text: str) -> None:
    """Tell the one who waits what happens now."""
    print(f"[{time.monotonic() - _BEGAN:6.1f} s] {text}", file=sys.stderr, flush=True)


class Failed(Exception):
    """Something that the suite needs is not there or does not work; the text says what to do."""
