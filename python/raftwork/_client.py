"""The client: one connection to the cluster, and what can be done with it."""

import json
import uuid
import weakref
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Optional,
    Sequence,
    TypeVar,
    Union,
    overload,
)

from . import errors
from ._after import taken_out
from ._core import Core
from ._function import Function, FunctionOptions, Functions, P, retry_policy
from ._handle import Handle
from ._limits import Limits, concurrency_of, rate_of
from ._names import Exceptions, exception_names
from ._results import Results, Waiter
from ._schedules import Schedule, Schedules
from ._span import Span, milliseconds, optional_milliseconds
from ._urls import node_urls

if TYPE_CHECKING:
    from ._after import After
    from ._executor import Executor
    from ._map import MapResults

R = TypeVar("R")


class Client:
    """A client of one cluster: thread-safe, with one connection that follows the leader.

    ``url`` names one node or several (a comma list); more survive more. Requests are repeated under the same ids for
    up to ``patience`` when nodes fail, so a fail-over is a pause and never submits a task twice. Nothing is sent before
    the first request. A client does not survive ``os.fork``; make a new one in the child.
    """

    def __init__(self, url: Union[str, Sequence[str], None] = None, *, patience: Span = "30s") -> None:
        self.urls = node_urls(url)
        self._core = Core(self.urls, milliseconds(patience) / 1000)
        self._results = Results(self._core)
        self._functions = Functions(self)
        self._workers_checked = False
        # Runs at the latest when the interpreter ends, before the delivery thread could be cut off in Rust.
        self._finalizer = weakref.finalize(self, self._results.close)

    @overload
    def function(self, function: "Callable[P, R]") -> "Function[P, R]": ...

    @overload
    def function(
        self,
        *,
        name: Optional[str] = None,
        retries: Optional[int] = None,
        retry_delay: Span = "1s",
        retry_delay_max: Span = "60s",
        no_retry: Exceptions = (),
        timeout: Optional[Span] = None,
        start_by: Optional[Span] = None,
        total_timeout: Optional[Span] = None,
        retention: Optional[Span] = None,
        tags: Sequence[str] = (),
        concurrency: Optional[Mapping[str, Any]] = None,
        rate: Optional[Mapping[str, Any]] = None,
        include: Optional[Sequence[str]] = None,
        requirements: Sequence[str] = (),
    ) -> "Callable[[Callable[P, R]], Function[P, R]]": ...

    def function(
        self,
        function: Optional[Callable[..., Any]] = None,
        *,
        name: Optional[str] = None,
        retries: Optional[int] = None,
        retry_delay: Span = "1s",
        retry_delay_max: Span = "60s",
        no_retry: Exceptions = (),
        timeout: Optional[Span] = None,
        start_by: Optional[Span] = None,
        total_timeout: Optional[Span] = None,
        retention: Optional[Span] = None,
        tags: Sequence[str] = (),
        concurrency: Optional[Mapping[str, Any]] = None,
        rate: Optional[Mapping[str, Any]] = None,
        include: Optional[Sequence[str]] = None,
        requirements: Sequence[str] = (),
    ) -> Any:
        """Decorate a function, so that it can be submitted. Calling it still runs it here.

        ``retries``: tries after a failed first one; the pause before each doubles from ``retry_delay`` to
        ``retry_delay_max``. ``no_retry``: exceptions that are final, as in ``[ValueError, "shop.errors.Broken"]``, and
        those that are derived from them. ``timeout``: longest run of one try; a task over it is stopped. ``start_by``:
        a task that no worker was given so long after its submit has failed with ``TaskExpired``, and never runs.
        ``total_timeout``: one that has not ended so long after its submit has failed, be it waiting, running or
        between two tries. ``retention``: how long its tasks and results are kept once they have ended (24 hours by
        default). Spans are seconds, or as in ``"30s"``. ``tags``: what a worker must offer to run it, as in ``["gpu",
        "zone=eu"]``. ``concurrency``: most tasks under a key, of any function, that are leased at a time, as in
        ``{"key": "tenant-7", "max": 3}``. ``rate``: most that start within any span of a length, as in
        ``{"key": "api.example.com", "max": 100, "per": "1m"}``. ``include``: modules of this machine to ship along, by
        name or path; ``[]`` if workers have them all. ``requirements``: packages as pip names them, as in
        ``["numpy==2.1"]``; a worker that has not seen the list before installs them into an environment that it keeps.
        That is part of the first task's run, and its timeout.
        """
        retry = retry_policy(retries, retry_delay, retry_delay_max)
        options = FunctionOptions(
            name=name,
            retry=retry,
            run_max_ms=optional_milliseconds(timeout),
            retention_ms=optional_milliseconds(retention),
            include=include,
            tags=tuple(tags),
            concurrency=concurrency_of(concurrency),
            rate=rate_of(rate),
            requirements=tuple(requirements),
            no_retry=tuple(exception_names(no_retry)),
            start_by_ms=optional_milliseconds(start_by),
            total_ms=optional_milliseconds(total_timeout),
        )

        def decorate(function: Callable[..., Any]) -> Function[Any, Any]:
            return Function(self, function, options)

        return decorate if function is None else decorate(function)

    @overload
    def submit(
        self, function: Callable[..., R], /, *args: Any, after: "After", on_failure: str = "fail", **kwargs: Any
    ) -> Handle[R]: ...

    @overload
    def submit(self, function: "Callable[P, R]", /, *args: "P.args", **kwargs: "P.kwargs") -> Handle[R]: ...

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Handle[Any]:
        """Run any function on the cluster; for one that is submitted again and again, as good as a decorated one.

        ``after`` and ``on_failure`` are as in ``Function.options``: ``client.submit(train, after=[load, clean])``. A
        function that has parameters of these names gets them itself; submit it through ``options`` then.
        """
        options = taken_out(function, kwargs)
        known = self._function_of(function)
        return (known.options(**options) if options else known).submit(*args, **kwargs)

    def get(self, id: Union[str, uuid.UUID]) -> Handle[Any]:
        """Return the handle of a task that was submitted before, by anybody. Asks nobody yet."""
        return Handle(self, _uuid(id, "task").bytes, watched=False)

    def get_map(
        self,
        id: Union[str, uuid.UUID],
        *,
        in_flight: int = 20_000,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool = False,
    ) -> "MapResults[Any]":
        """Return the results, from the first one on, of a map that was submitted as a whole before, by anybody.

        ``id`` is what ``MapResults.id`` or ``POST /v1/maps`` gave; options are as in ``Function.options``.
        """
        from ._function import MapOptions
        from ._map import Calls, MapResults

        map = _uuid(id, "map")
        items = self.rest("GET", f"/v1/maps/{map}")["items"]
        options = MapOptions(in_flight, ordered, return_exceptions, progress)
        return MapResults(self, options, Calls(iter(()), {}, items), attached=(map.bytes, items))

    def as_completed(self, handles: Iterable[Handle[R]], timeout: Optional[float] = None) -> Iterator[Handle[R]]:
        """Iterate over handles as their tasks end, those that have ended first.

        Raises ``TimeoutError`` if some have not ended ``timeout`` seconds after the first was asked for.
        """
        from ._arrivals import as_completed

        return as_completed(self, handles, timeout)

    def executor(self, max_workers: Optional[int] = None) -> "Executor":
        """Return a ``concurrent.futures.Executor`` that runs calls on the cluster, at most ``max_workers`` at once."""
        from ._executor import Executor

        return Executor(self, max_workers)

    @property
    def limits(self) -> Limits:
        """The limits of the cluster: how many tasks under a key may be leased, or start."""
        return Limits(self)

    @property
    def schedules(self) -> Schedules:
        """The schedules of the cluster."""
        return Schedules(self)

    def schedule(
        self,
        name: str,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Optional[Mapping[str, Any]] = None,
        *,
        cron: Optional[str] = None,
        every: Optional[Span] = None,
        time_zone: Optional[str] = None,
        catch_up: str = "latest",
        catch_up_max: Optional[int] = None,
        overlap: str = "allow",
    ) -> Schedule:
        """Submit a task of ``function`` at every time that ``cron`` names in ``time_zone``, or ``every`` so often.

        A schedule of this name is replaced; the same one again changes nothing, so that a program may say what it wants
        each time it starts. Each nominal time is dealt with once, over any fail-over. ``catch_up``: of times that were
        missed, fire for the ``"latest"``, for ``"all"`` (the latest ``catch_up_max`` of them, 100), or, with
        ``"skip"``, for none over a minute late. ``overlap``: while a task of it has not ended, ``"allow"`` another,
        ``"skip"`` the time, or ``"queue"`` one. Options of the tasks are those of the function.
        """
        return self.schedules.put(
            name,
            function,
            args,
            kwargs,
            cron=cron,
            every=every,
            time_zone=time_zone,
            catch_up=catch_up,
            catch_up_max=catch_up_max,
            overlap=overlap,
        )

    def register_function(self, function: Callable[..., Any]) -> str:
        """Register a function and return its id, for ``run``. The name and form are those of Globus Compute."""
        from ._shims import register_function

        return register_function(self, function)

    def run(self, *args: Any, function_id: str, endpoint_id: Any = None, **kwargs: Any) -> str:
        """Submit a call of a registered function and return the task's id, in the form of Globus Compute.

        ``endpoint_id`` is taken and ignored: any worker may run the task.
        """
        from ._shims import run

        return run(self, function_id, args, kwargs)

    def get_result(self, task_id: str) -> Any:
        """Return the result of a task, raise its exception, or raise ``TaskPending`` if it has not ended."""
        from ._shims import get_result

        return get_result(self, task_id)

    def rest(self, method: str, path: str, body: Any = None) -> Any:
        """Send a plain HTTP request to whichever node answers, JSON in and out; see ``/docs`` on any node.

        Raises ``UnknownTask``, ``Unavailable`` and so on as the error says.
        """
        data = None if body is None else json.dumps(body).encode()
        status, answer = self._core.rest(method, path, data)
        if status >= 400:
            raise problem(status, answer)
        return json.loads(answer) if answer else None

    def close(self) -> None:
        """Close the connection. Tasks go on; who still waits for one here gets ``ClientClosed``."""
        self._finalizer()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<raftwork.Client {','.join(self.urls)}>"

    def _function_of(self, function: Callable[..., Any]) -> Function[Any, Any]:
        """The submittable form of any callable, the same one each time."""
        return function if isinstance(function, Function) else self._functions.of(function)

    def _registered(self) -> None:
        """A function was registered; the first time, warn if nobody could run it."""
        if self._workers_checked:
            return
        self._workers_checked = True
        from ._follow import warn_without_worker

        warn_without_worker(self)

    def _expect(self, ids: Sequence[bytes], waiter: Waiter) -> None:
        """Deliver tasks that were submitted before."""
        fresh = self._results.expect(ids, waiter)
        if fresh:
            self._core.watch(fresh)


def _uuid(id: Union[str, uuid.UUID], what: str) -> uuid.UUID:
    try:
        return id if isinstance(id, uuid.UUID) else uuid.UUID(id)
    except ValueError:
        raise ValueError(f"{id!r} is not a {what} id such as 0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e") from None


_PROBLEMS = {
    "unknown_map": errors.UnknownMap,
    "unknown_task": errors.UnknownTask,
    "unknown_function": errors.UnknownFunction,
    "unknown_limit": errors.UnknownLimit,
    "unknown_schedule": errors.UnknownSchedule,
    "already_finished": errors.AlreadyFinished,
    "not_redrivable": errors.NotRedrivable,
    "function_conflict": errors.Conflict,
    "task_conflict": errors.Conflict,
    "too_large": errors.TooLarge,
    "busy": errors.Unavailable,
    "no_leader": errors.Unavailable,
    "not_leader": errors.Unavailable,
    "timeout": errors.Unavailable,
}


def problem(status: int, body: bytes) -> errors.ClusterError:
    """The exception of an error answer."""
    try:
        document = json.loads(body)
        text, code = document["detail"], document["code"]
        if document.get("hint"):
            text += f" ({document['hint']})"
    except (ValueError, KeyError, TypeError):
        text, code = f"HTTP status {status}: {body[:200].decode(errors='replace')}", ""
    kind = _PROBLEMS.get(code, errors.Unavailable if status >= 500 else errors.Rejected)
    return kind(text)
