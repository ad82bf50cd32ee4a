"""The course contract, with the standard library and dill alone."""

import base64
import codecs
import json
import time
import urllib.error
import urllib.request
from typing import Any, Callable, Dict

import dill
import pytest
from conftest import Cluster

pytestmark = pytest.mark.cluster

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def serialize(value: Any) -> str:
    return codecs.encode(dill.dumps(value), "base64").decode()


def deserialize(text: str) -> Any:
    return dill.loads(codecs.decode(text.encode(), "base64"))


class Course:
    """The four calls; each goes to the next node."""

    def __init__(self, cluster: Cluster) -> None:
        self._urls = cluster.urls
        self._calls = 0

    def call(self, path: str, body: "Dict[str, str] | None" = None) -> Any:
        self._calls += 1
        url = self._urls[self._calls % len(self._urls)] + path
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"content-type": "application/json"})
        with _DIRECT.open(request, timeout=30) as answer:
            assert answer.status == (200 if body is None else 201)
            return json.loads(answer.read())

    def register(self, function: Callable[..., Any]) -> str:
        body = {"name": function.__name__, "payload": serialize(function)}
        return str(self.call("/register_function", body)["function_id"])

    def execute(self, function: str, *args: Any, **kwargs: Any) -> str:
        body = {"function_id": function, "payload": serialize((args, kwargs))}
        return str(self.call("/execute_function", body)["task_id"])

    def result(self, task: str) -> Any:
        deadline = time.monotonic() + 60
        while self.call(f"/status/{task}")["status"] in ("QUEUED", "RUNNING"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        answer = self.call(f"/result/{task}")
        assert answer["task_id"] == task
        return answer["status"], deserialize(answer["result"])


@pytest.fixture
def course(cluster: Cluster) -> Course:
    return Course(cluster)


PROGRAM = """
def mult(x, y):
    return x * y

def concat(first, *, second):
    return first + second

def matmul(rows, columns):
    import numpy
    return numpy.matmul(rows, columns)

def failing():
    raise ValueError("on purpose")

def sleep(seconds):
    import time
    time.sleep(seconds)
    return seconds
"""


def program(name: str) -> Callable[..., Any]:
    """A function of a course program, as a script would have it: dill takes its code along, not a module's name."""
    names: Dict[str, Any] = {"__name__": "__main__"}
    exec(PROGRAM, names)
    return names[name]  # type: ignore[no-any-return]


def test_mult_positional(course: Course) -> None:
    function = course.register(program("mult"))
    tasks = [course.execute(function, n, 2) for n in range(50)]
    assert [course.result(task) for task in tasks] == [("COMPLETED", 2 * n) for n in range(50)]


def test_concat_with_a_required_keyword(course: Course) -> None:
    function = course.register(program("concat"))
    assert course.result(course.execute(function, "a", second="b")) == ("COMPLETED", "ab")
    status, error = course.result(course.execute(function, "a"))
    assert status == "FAILED" and isinstance(error, TypeError)


def test_matmul_imports_numpy(course: Course) -> None:
    numpy = pytest.importorskip("numpy")
    function = course.register(program("matmul"))
    status, product = course.result(course.execute(function, numpy.eye(3), numpy.arange(9).reshape(3, 3)))
    assert status == "COMPLETED" and (product == numpy.arange(9).reshape(3, 3)).all()


def test_a_failed_task_s_result_is_the_exception(course: Course) -> None:
    status, error = course.result(course.execute(course.register(program("failing"))))
    assert status == "FAILED" and isinstance(error, ValueError) and error.args == ("on purpose",)


def test_an_unfinished_task_has_an_empty_result(course: Course) -> None:
    task = course.execute(course.register(program("sleep")), 1.0)
    answer = course.call(f"/result/{task}")
    assert answer["status"] in ("QUEUED", "RUNNING") and answer["result"] == ""
    assert course.result(task) == ("COMPLETED", 1.0)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/status/0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", None, {404}),
        ("/status/banana", None, {400, 404, 422}),
        ("/register_function", {"name": "x", "payload": "not base64!"}, {400}),
        ("/register_function", {"name": "x", "payload": base64.b64encode(b"no pickle").decode()}, {400}),
        (
            "/execute_function",
            {"function_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "payload": serialize(((), {}))},
            {404},
        ),
    ],
)
def test_bad_requests_are_refused(course: Course, path: str, body: Any, expected: set) -> None:  # type: ignore[type-arg]
    with pytest.raises(urllib.error.HTTPError) as caught:
        course.call(path, body)
    assert caught.value.code in expected
    assert json.loads(caught.value.read())["detail"]
