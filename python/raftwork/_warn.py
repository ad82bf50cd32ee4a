"""Warnings that point at the user's line, whatever way the call took through this package."""

import os
import sys
import warnings
from types import FrameType
from typing import Optional, Type

from .errors import RaftworkWarning

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def warn(text: str, category: Type[RaftworkWarning]) -> None:
    """Warn at the first line of the stack that is not this package's; once for each line, as Python does."""
    level = 1
    frame: Optional[FrameType] = sys._getframe(0)
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)
