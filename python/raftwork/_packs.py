"""The calls of a large ``map``, many at a time.

Pickling a million small calls one by one takes a second and more. So calls are pickled in groups, and each item of the
map is the group with a number that says which call is meant. What the server puts together is a pickle of the pair
``(args, kwargs)`` like any other: ``(operator.getitem(group, number), kwargs)``, in the language of pickle's machine.
Where each call has one argument, the group is of bare arguments, which are pickled in half of the time.
The server joins bytes and looks into none of them; see ``Pack`` in the kernel.
"""

import pickle
from itertools import islice
from typing import Any, Dict, Iterator, List, Sequence, Tuple, Union

from ._serialize import dump_arguments

#: What the client takes as items: the arguments of one, or what comes before and after the numbers of so many.
Packs = List[Union[bytes, Tuple[bytes, bytes, int]]]

#: Without frames, whose lengths would count bytes that are put elsewhere.
_PROTOCOL = 3
_BEGIN = b"\x80\x03"
_STOP = b"."
#: ``operator.getitem(``
_HEAD = _BEGIN + b"coperator\ngetitem\n("
#: The number follows, as a signed one of four bytes.
_NUMBER = b"J"
#: ``)``: makes the operands a tuple and calls.
_CALL = b"tR"
#: Makes a tuple of what that gave.
_ONE = b"\x85"
_PAIR = b"\x86" + _STOP

#: Most calls in a group: each of its items carries the whole group to its worker.
GROUP_MAX = 32
#: Bytes of a group that are worth carrying along with each item; larger calls share a group with fewer others.
GROUP_BYTES = 512


def pack(calls: Iterator[Any], constants: Dict[str, Any], *, bare: bool) -> Packs:
    """Pickle calls, given as the tuples of their positional arguments, or ``bare``: as their only argument.

    Raise ``SerializationError`` naming what cannot be pickled.
    """
    packs: Packs = []
    tail = _tail(_CALL + _ONE if bare else _CALL, constants)
    size = GROUP_MAX
    while True:
        group = list(islice(calls, size))
        if not group:
            return packs
        body = b"" if tail is None or size == 1 else _body(group)
        if body and len(body) <= 2 * GROUP_BYTES:
            packs.append((_HEAD + body + _NUMBER, tail or b"", len(group)))
        else:
            rows = zip(group) if bare else group
            packs.extend(dump_arguments(row, constants) for row in rows)
        # Calls that lie side by side are mostly alike.
        if len(body) > GROUP_BYTES:
            size = max(1, size // 2)
        elif body and len(body) * 2 < GROUP_BYTES:
            size = min(GROUP_MAX, 2 * size)


def _tail(call: bytes, constants: Dict[str, Any]) -> "bytes | None":
    body = _body(constants)
    return call + body + _PAIR if body and len(body) <= GROUP_BYTES else None


def _body(value: Union[Sequence[Any], Dict[str, Any]]) -> bytes:
    """The pickle without its beginning and its end; nothing if it takes more than plain pickle."""
    try:
        data = pickle.dumps(value, _PROTOCOL)
    except Exception:
        return b""
    return b"" if b"__main__" in data else data[len(_BEGIN) : -len(_STOP)]
