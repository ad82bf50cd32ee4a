"""Functions, arguments and results as bytes."""

import socket
import subprocess
import sys
from typing import Any

import dill
import pytest

from raftwork import SerializationError
from raftwork._serialize import dump_arguments, dump_function, load

OPEN_SOCKET = None


def test_arguments_survive_the_way() -> None:
    args, kwargs = dill.loads(dump_arguments([1, "two", {3.0}], {"four": [5, None]}))
    assert (args, kwargs) == ((1, "two", {3.0}), {"four": [5, None]})


def test_arguments_that_pickle_does_not_know_go_through_dill() -> None:
    (function,), _ = dill.loads(dump_arguments([lambda x: x + 1], {}))
    assert function(1) == 2


def test_an_argument_that_cannot_be_pickled_is_named() -> None:
    with pytest.raises(SerializationError, match="argument 'stream', a generator"):
        dump_arguments([1], {"stream": (n for n in ())})
    with pytest.raises(SerializationError, match="argument 1, a generator"):
        dump_arguments([1, (n for n in ())], {})


def test_what_a_function_captures_and_cannot_be_pickled_is_named() -> None:
    with socket.socket() as connection:

        def send() -> Any:
            return connection.send(b"x")

        with pytest.raises(SerializationError, match="it uses 'connection', a socket"):
            dump_function(send)


def test_results_are_pickles_or_json() -> None:
    assert load(dill.dumps({1: 2})) == {1: 2}
    assert load(b'{"1": [2, null]}') == {"1": [2, None]}


SCRIPT = """
from raftwork._serialize import dump_function, load
import dill, subprocess, sys

FACTOR = 3

def helper(x):
    return x * FACTOR

class Point:
    def __init__(self, x):
        self.x = x

class Odd(ValueError):
    pass

def work(x):
    if x % 2:
        raise Odd(x)
    return [Point(helper(x))]

# What a worker does, in a process where __main__ is another.
WORKER = '''
import dill, sys
work = dill.loads(bytes.fromhex(sys.argv[1]))
[point] = work(4)
try:
    work(5)
except Exception as error:
    print(dill.dumps([point], recurse=True).hex(), dill.dumps(error, recurse=True).hex())
'''
said = subprocess.check_output([sys.executable, "-c", WORKER, dump_function(work).hex()], text=True)
result, error = (load(bytes.fromhex(text)) for text in said.split())
assert type(result[0]) is Point and result[0].x == 12, result
assert type(error) is Odd and error.args == (5,), error
print("fine")
"""


def test_a_script_s_own_functions_and_classes_come_back_as_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr
