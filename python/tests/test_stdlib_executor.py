"""The standard library's own tests of executors, run against ours on a real cluster.

Python 3.12 and newer have them in a form that takes other executors; older ones, and distributions that leave the
tests out, skip this. What does not apply is listed with the reason; ``docs/executor.md`` has the table for users.
"""

from concurrent.futures import Future
from typing import Any, Callable, ClassVar, Dict, Optional

import pytest
from conftest import Cluster, wait_until

pytest.importorskip("test.test_concurrent_futures.util", reason="this Python comes without its own executor tests")

from test.test_concurrent_futures import executor as executor_tests
from test.test_concurrent_futures import test_as_completed, test_shutdown, test_wait, util

from raftwork import Client, Executor

pytestmark = pytest.mark.cluster

#: Tests that do not apply, and why.
LEFT_OUT: Dict[str, str] = {
    "test_interpreter_shutdown": "starts an executor by its class name alone; see test_executor.py for ours",
    "test_submit_after_interpreter_shutdown": "as above",
    "test_hang_gh83386": "as above",
    "test_hang_gh94440": "as above; the case is in test_executor.py",
}


@pytest.fixture(scope="module", autouse=True)
def connected_class(cluster: Cluster) -> Any:
    """The tests make their executors from a class; each gets a client of its own, as they check for left threads."""
    Connected.urls = cluster.urls
    yield
    Connected.urls = []


class Connected(Executor):
    urls: ClassVar["list[str]"] = []

    def __init__(self, max_workers: int) -> None:
        client = Client(self.urls)
        try:
            super().__init__(client, max_workers)
        except ValueError:
            client.close()
            raise
        self.own_client = client

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            self.own_client.close()


class FirstStarts(Connected):
    """A pool in this process starts its first call within ``submit``; a cluster does so a moment later.

    Who cancels what has not started waits for that moment here, as the test counts on it.
    """

    first: "Optional[Future[Any]]" = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future = super().submit(fn, *args, **kwargs)
        self.first = self.first or future
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        first = self.first
        if cancel_futures and first is not None:
            wait_until(lambda: first.running() or first.done())
        super().shutdown(wait, cancel_futures=cancel_futures)


class RaftworkMixin(util.ExecutorMixin):  # type: ignore[misc]
    executor_type = Connected


class TestExecutor(RaftworkMixin, executor_tests.ExecutorTest, util.BaseTestCase):  # type: ignore[misc]
    pass


class TestWait(RaftworkMixin, test_wait.WaitTests, util.BaseTestCase):  # type: ignore[misc]
    pass


class TestAsCompleted(RaftworkMixin, test_as_completed.AsCompletedTests, util.BaseTestCase):  # type: ignore[misc]
    pass


class TestShutdown(RaftworkMixin, test_shutdown.ExecutorShutdownTest, util.BaseTestCase):  # type: ignore[misc]
    executor_type = FirstStarts


for _class in (TestExecutor, TestWait, TestAsCompleted, TestShutdown):
    for _name, _reason in LEFT_OUT.items():
        if hasattr(_class, _name):
            setattr(_class, _name, pytest.mark.skip(reason=_reason)(getattr(_class, _name)))

# Else it would be collected as one class more.
del _class
