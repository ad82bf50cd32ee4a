"""Frames between the agent and a child, on a stream socket.

``u32 len | u8 kind | u8 flags | u16 hlen | header | payload``, little endian; ``len`` counts the
header and the payload. Must agree with ``worker/src/python/frame.rs``.
"""

from __future__ import annotations

import socket
import struct

FUNC, RUN, RESULT, ERROR, STARTED, PING, EXIT = range(1, 8)

#: RUN: the agent wants a STARTED frame before the function is called.
WANT_STARTED = 1
#: RESULT and ERROR: the task left processes behind, so this child must not run another.
LEFTOVERS = 1

KIND_DILL, KIND_SOURCE = 0, 1

#: FUNC: content hash, kind; the registered name follows.
FUNC_HEADER = struct.Struct("<32sB")
#: RUN: content hash, token, attempt; the task id follows.
RUN_HEADER = struct.Struct("<32sQI")
#: RESULT: nanoseconds, highest resident size of the child's life in KiB.
RESULT_HEADER = struct.Struct("<QQ")
#: ERROR: as RESULT, error kind, lengths of type name, message and traceback in the payload.
ERROR_HEADER = struct.Struct("<QQBIII")

_PREFIX = struct.Struct("<IBBH")
_CHUNK = 65536

Frame = tuple[int, int, bytes, bytes]


class Channel:
    """One end of the socket; reads and writes whole frames, blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
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
            self._sock.sendall(start + payload)
        else:
            self._sock.sendall(start)
            self._sock.sendall(payload)

    def _receive(self) -> bytes:
        data = self._sock.recv(_CHUNK)
        if not data:
            raise EOFError("the agent closed the socket")
        return data

    def _fill(self, start: bytes, end: int) -> bytes:
        """Read a large frame into one buffer, so that its bytes are copied once."""
        buffer = bytearray(end)
        buffer[: len(start)] = start
        view: memoryview | bytearray = memoryview(buffer)
        filled = len(start)
        while filled < end:
            count = self._sock.recv_into(view[filled:])
            if not count:
                raise EOFError("the agent closed the socket")
            filled += count
        return bytes(buffer)
