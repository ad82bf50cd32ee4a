"""What a record means: the value, or the exception."""

import pickle
import uuid
from typing import Any

import dill
import pytest

import raftwork
from raftwork import errors
from raftwork._outcome import Outcome, TaskFailure

ID = uuid.UUID("0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e")


class Broken(Exception):
    """Pickles, but does not unpickle: its arguments are not what it is made from."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__("text")


def failed(kind: str, **fields: Any) -> BaseException:
    failure = TaskFailure(kind, fields.pop("type_name", ""), fields.pop("message", "why"), "Traceback: there", **fields)
    return Outcome(ID.bytes, "failed", None, failure).exception()


def test_a_value_is_returned() -> None:
    assert Outcome(ID.bytes, "completed", dill.dumps([1])).value() == [1]


def test_the_function_s_own_exception_comes_back_with_the_remote_traceback() -> None:
    error = failed("exception", exception=pickle.dumps(KeyError("k", 7)))
    assert type(error) is KeyError and error.args == ("k", 7)
    assert isinstance(error.__cause__, errors.RemoteTraceback) and "Traceback: there" in str(error.__cause__)


def test_an_exception_that_cannot_be_loaded_is_told_in_text() -> None:
    error = failed("exception", type_name="lib.Broken", exception=pickle.dumps(Broken(1, 2)))
    assert isinstance(error, errors.TaskFailed)
    assert (str(error), error.type_name, error.task_id) == ("lib.Broken: why", "lib.Broken", str(ID))


def test_the_substitute_of_an_exception_that_could_not_be_pickled_is_told_in_text() -> None:
    substitute = RuntimeError("lib.Odd: why")
    substitute.type_name = "lib.Odd"  # type: ignore[attr-defined]
    error = failed("exception", type_name="lib.Odd", exception=pickle.dumps(substitute))
    assert isinstance(error, errors.TaskFailed) and error.type_name == "lib.Odd"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("timeout", raftwork.TaskTimeout),
        ("unserializable", errors.TaskFailed),
        ("load", errors.TaskLoadError),
        ("crash", errors.TaskCrashed),
        ("out_of_memory", errors.TaskOutOfMemory),
        ("worker_lost", errors.WorkerLost),
    ],
)
def test_every_kind_of_failure_has_its_class(kind: str, expected: type) -> None:
    error = failed(kind)
    assert type(error) is expected and "why" in str(error)


def test_a_crash_says_how_the_process_ended() -> None:
    error = failed("crash", signal=11)
    assert isinstance(error, errors.TaskCrashed) and (error.signal, error.exit_code) == (11, None)
    hog = failed("out_of_memory", limit=100, peak=120)
    assert isinstance(hog, errors.TaskOutOfMemory) and (hog.limit, hog.peak) == (100, 120)


def test_what_has_no_record_says_why() -> None:
    assert isinstance(Outcome(ID.bytes, "cancelled").exception(), errors.TaskCancelledError)
    assert isinstance(Outcome(ID.bytes, "unknown").exception(), errors.UnknownTask)
    assert isinstance(Outcome(ID.bytes, "closed").exception(), errors.ClientClosed)


def test_every_error_survives_pickling() -> None:
    for error in (errors.TaskFailed("a.B", "c", "d"), errors.WorkerFailure("lost"), errors.RemoteTraceback("t")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), copy.__dict__) == (type(error), str(error), error.__dict__)
