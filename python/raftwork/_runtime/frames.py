"""Frames between the agent and a child, on a pipe each way.

``u32 len | u8 kind | u8 flags | u16 hlen | header | payload``, little endian; ``len`` counts the
header and the payload. Must agree with ``worker/src/python/frame.rs``.
"""

from __future__ import annotations

import os
import struct

FUNC, RUN, RESULT, ERROR, STARTED, PING, EXIT, PROGRESS, GIVEN = range(1, 10)

#: RUN: the agent wants a STARTED frame before the function is called.
WANT_STARTED = 1
#: RESULT and ERROR: the task left processes or compiled modules behind, so this child must not run another.
LEFTOVERS = 1
#: GIVEN, whose header is the id of a task: for the RUN that follows, its payload is that task's result; with this flag,
#: the word for how that task ended without one.
NO_RESULT = 1

KIND_DILL, KIND_SOURCE = 0, 1

#: FUNC: content hash, kind; the registered name follows.
FUNC_HEADER = struct.Struct("<32sB")
#: RUN: content hash, token, attempt; the task id follows.
RUN_HEADER = struct.Struct("<32sQI")
#: RESULT: nanoseconds, highest resident size of the child's life in KiB.
RESULT_HEADER = struct.Struct("<QQ")
#: ERROR: as RESULT, error kind, lengths of type name, message, traceback and names of base classes in the payload.
ERROR_HEADER = struct.Struct("<QQBIIII")

#: PROGRESS: done, total, whether the total is known; the message follows. Together less than a pipe takes at once.
PROGRESS_HEADER = struct.Struct("<QQB")

_PREFIX = struct.Struct("<IBBH")
_CHUNK = 65536

Frame = tuple[int, int, bytes, bytes]


class Channel:
    """The child's ends of the pipes; reads and writes whole frames, blocking."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        # Bytes that were received after the end of the last frame.
        self._rest = b""

    def read(self) -> Frame:
        """Return the next frame; raise ``EOFError`` when the agent has gone."""
        data = self._rest
        while len(data) < _PREFIX.size:
            data += self._receive()
        length, kind, flags, header_length = _PREFIX.unpack_from(data)
        end = _PREFIX.size + length
        if len(data) < end:
            data = self._fill(data, end)
        self._rest = data[end:]
        body = _PREFIX.size + header_length
        return kind, flags, data[_PREFIX.size : body], data[body:end]

    def write(self, kind: int, flags: int = 0, header: bytes = b"", payload: bytes = b"") -> None:
        """Send one frame."""
        start = _PREFIX.pack(len(header) + len(payload), kind, flags, len(header)) + header
        if len(payload) < _CHUNK:
            self._send(start + payload)
        else:
            self._send(start)
            self._send(payload)

    def _send(self, data: bytes) -> None:
        sent = os.write(self._answers, data)
        while sent < len(data):
            # A signal came when a part was written.
            sent += os.write(self._answers, memoryview(data)[sent:])

    def _receive(self) -> bytes:
        data = os.read(self._commands, _CHUNK)
        if not data:
            raise EOFError("the agent closed the pipe")
        return data

    def _fill(self, start: bytes, end: int) -> bytes:
        """Read a large frame into one buffer, so that its bytes are copied once."""
        buffer = bytearray(end)
        buffer[: len(start)] = start
        view: memoryview | bytearray = memoryview(buffer)
        filled = len(start)
        while filled < end:
            count = os.readv(self._commands, [view[filled:]])
            if not count:
                raise EOFError("the agent closed the pipe")
            filled += count
        return bytes(buffer)
