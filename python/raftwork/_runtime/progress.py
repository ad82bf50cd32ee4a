"""What a task says of its progress, on its way to the agent: now and then, and never after its answer."""

from __future__ import annotations

import os
import threading
import time

from raftwork._runtime import frames

#: Seconds between two words that are passed on.
PERIOD = 0.1
#: Longest message, in bytes: a frame this short is written to the pipe as a whole, whatever interrupts it.
MESSAGE_BYTES = 1000


class Progress:
    """Passes on what the running task says, from any of its threads."""

    def __init__(self, channel: frames.Channel) -> None:
        self._channel = channel
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._token: int | None = None
        self._next = 0.0
        self._complete = False

    def begin(self, token: int) -> None:
        """A task runs under this token from now on."""
        self._token = token
        self._next = 0.0
        self._complete = False

    def end(self) -> None:
        """Its answer comes next: threads that it left behind are not heard any more."""
        with self._lock:
            self._token = None

    def report(self, token: int, done: int, total: int | None, message: str) -> None:
        """Pass it on, unless the last word was just now; that all is done is passed on at once."""
        now = time.monotonic()
        complete = total is not None and done >= total
        if now < self._next and (self._complete or not complete):
            return
        header = frames.PROGRESS_HEADER.pack(done, total or 0, total is not None)
        text = message.encode("utf-8", "replace")[:MESSAGE_BYTES]
        with self._lock:
            # A copy of the process that the task has forked has the same pipe, and no say.
            if token == self._token and os.getpid() == self._pid:
                self._next, self._complete = now + PERIOD, complete
                self._channel.write(frames.PROGRESS, 0, header, text)
