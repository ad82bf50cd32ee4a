"""Functions that can be called here and submitted there."""

import copy
import functools
import pickle
import sys
import threading
import weakref
from collections import OrderedDict
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Generic,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
)

from ._after import checked_policy, task_ids
from ._core import new_task_ids
from ._dates import Moment, optional_moment
from ._handle import Handle
from ._limits import Concurrency, Rate, concurrency_of, rate_of
from ._names import Exceptions, exception_names
from ._results import Waiter
from ._serialize import LARGE, dump_call, dump_function
from ._span import Span, milliseconds, optional_milliseconds
from .errors import UnknownFunction

if TYPE_CHECKING:
    from ._after import After
    from ._client import Client
    from ._map import Calls, MapResults
    from ._packs import Packs

R = TypeVar("R")
if sys.version_info >= (3, 10):
    from typing import ParamSpec

    P = ParamSpec("P")
else:
    # Nothing but type checkers looks at it, and they check as for a newer Python.
    P = TypeVar("P")

#: Most tasks in one submit. Far below the cluster's limit of 10,000, so that the first results come early.
SUBMIT_ITEMS = 2000
#: Bytes of arguments after which a submit is full: an entry of the cluster's log stays a bounded piece of work.
SUBMIT_BYTES = 1 << 20

Retry = Tuple[int, int, int]
Waiters = Union[Waiter, Dict[bytes, Any]]


class FunctionOptions(NamedTuple):
    """What is registered along with a function."""

    name: Optional[str] = None
    retry: Optional[Retry] = None
    run_max_ms: Optional[int] = None
    retention_ms: Optional[int] = None
    include: Optional[Sequence[str]] = None
    """Modules to ship along; ``None``: none, and a warning of those that workers may not have."""
    tags: Sequence[str] = ()
    """What a worker must offer to run it."""
    requirements: Sequence[str] = ()
    """Packages that workers install for it, as pip names them."""
    no_retry: Sequence[str] = ()
    """Names of exceptions that are final."""
    start_by_ms: Optional[int] = None
    total_ms: Optional[int] = None
    concurrency: Optional[Concurrency] = None
    rate: Optional[Rate] = None


class TaskOptions(NamedTuple):
    """What a submit may ask for beyond function and arguments."""

    priority: Optional[int] = None
    delay_ms: Optional[int] = None
    retry: Optional[Retry] = None
    run_max_ms: Optional[int] = None
    tags: Optional[List[str]] = None
    no_retry: Optional[List[str]] = None
    start_by_ms: Optional[int] = None
    total_ms: Optional[int] = None
    run_at_ms: Optional[int] = None
    concurrency: Optional[Concurrency] = None
    rate: Optional[Rate] = None
    after: Optional[List[bytes]] = None
    on_failure: Optional[str] = None

    def refuse_after(self, what: str) -> None:
        """Raise ``ValueError`` if they say ``after``, of which the cluster knows nothing where many tasks are meant."""
        if self.after:
            raise ValueError(f"{what} takes no after: submit its tasks one by one, or wait for the others before")


class MapOptions(NamedTuple):
    """How ``map`` goes about its tasks."""

    in_flight: int = 20_000
    ordered: bool = True
    return_exceptions: bool = False
    progress: bool = False


def retry_policy(retries: Optional[int], delay: Span = "1s", delay_max: Span = "60s") -> Optional[Retry]:
    """``retries`` tries after the first; pauses double from ``delay`` to ``delay_max``, half of each is drawn."""
    if retries is None:
        return None
    if retries < 0:
        raise ValueError(f"retries = {retries} is negative")
    return (retries + 1, milliseconds(delay), milliseconds(delay_max))


class Function(Generic[P, R]):
    """A function of a client: calling it runs it here, ``submit`` and ``map`` run it on the cluster.

    It is pickled and registered at the first submit, with the globals that it uses as they are then.
    """

    def __init__(self, client: "Client", function: Callable[P, R], options: FunctionOptions, kept: bool = True) -> None:
        if kept:
            functools.update_wrapper(self, function)
            self._function = function
        self._client = client
        self._options = options
        self._task_options = TaskOptions(
            tags=list(options.tags) or None,
            no_retry=list(options.no_retry) or None,
            start_by_ms=options.start_by_ms,
            total_ms=options.total_ms,
            concurrency=options.concurrency,
            rate=options.rate,
        )
        self._map_options = MapOptions()
        self._registration = _Registration(client, function, options)

    def __call__(self, *args: "P.args", **kwargs: "P.kwargs") -> R:
        """Run the function here, as if it had not been decorated."""
        return self._function(*args, **kwargs)

    def submit(self, *args: "P.args", **kwargs: "P.kwargs") -> Handle[R]:
        """Run the function on the cluster. The task is durable on a majority of nodes when this returns.

        Handles among the arguments, also inside lists and the like, stand for the results of their tasks: this one runs
        after them, as with ``after`` of ``options``, and the function sees the results.
        """
        id = new_task_ids(1)[0]
        handle: Handle[R] = Handle(self._client, id, watched=True)
        payload, references = dump_call(args, kwargs)
        self._submit([(id, payload)], handle, references)
        return handle

    def map(self, *iterables: Any, **constants: Any) -> "MapResults[R]":
        """Run the function for each element, and iterate over the results in order.

        As the built-in ``map`` with several iterables, up to the shortest; arguments that are not iterable, and
        strings, are the same for every call, and so are keyword arguments.

        If the input knows its length and has more than 2,000 elements, all of it is durable on the cluster when this
        returns, as one request; ``client.get_map(results.id)`` finds the results in another process. An input that does
        not (a generator, above all) may be endless: its tasks are submitted as fast as results are taken.
        """
        from ._map import map_calls

        return self._map_results(map_calls(iterables, constants))

    def starmap(self, arguments: Iterable[Sequence[Any]]) -> "MapResults[R]":
        """As ``map``, with the positional arguments of each call in one tuple."""
        from ._map import starmap_calls

        return self._map_results(starmap_calls(arguments))

    def _map_results(self, calls: "Calls") -> "MapResults[R]":
        from ._map import MapResults

        self._task_options.refuse_after("a map")
        return MapResults(self._client, self._map_options, calls, self)

    def delay(self, *args: "P.args", **kwargs: "P.kwargs") -> Handle[R]:
        """As ``submit``, under the name that Celery has for it."""
        return self.submit(*args, **kwargs)

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Optional[Dict[str, Any]] = None, **options: Any
    ) -> Handle[R]:
        """As ``submit``, in Celery's form; see ``docs/from-celery.md`` for the options that it takes."""
        from ._shims import celery_options

        return self.options(**celery_options(options)).submit(*args, **(kwargs or {}))

    def options(
        self,
        *,
        priority: Optional[int] = None,
        delay: Optional[Span] = None,
        run_at: Optional[Moment] = None,
        retries: Optional[int] = None,
        retry_delay: Span = "1s",
        no_retry: Optional[Exceptions] = None,
        timeout: Optional[Span] = None,
        start_by: Optional[Span] = None,
        total_timeout: Optional[Span] = None,
        tags: Optional[Sequence[str]] = None,
        concurrency: Optional[Mapping[str, Any]] = None,
        rate: Optional[Mapping[str, Any]] = None,
        after: "Optional[After]" = None,
        on_failure: Optional[str] = None,
        in_flight: Optional[int] = None,
        ordered: Optional[bool] = None,
        return_exceptions: Optional[bool] = None,
        progress: Optional[bool] = None,
    ) -> "Function[P, R]":
        """Return the same function with other options for what is submitted through it.

        ``priority`` is 0 to 9 (5 by default; each level is worth an hour of waiting). ``delay`` holds the task back;
        ``run_at`` does until a date, a ``datetime`` with a zone or text as in ``"2026-12-24T18:00:00+01:00"``.
        ``retries``, ``no_retry``, ``timeout``, ``start_by``, ``total_timeout``, ``tags``, ``concurrency`` and ``rate``
        replace those of the function. ``after`` holds the task back until others have ended, up to 64, given by handle
        or id; it fails with ``DependencyFailed`` as soon as one of them has no result to give, or, with
        ``on_failure="run"``, runs all the same once all have ended. For ``map``: ``in_flight`` bounds the tasks
        submitted and not yet taken; ``ordered=False`` gives results as they come; ``return_exceptions=True`` gives
        exceptions as results; ``progress=True`` draws a bar on standard error, if that is a terminal.
        """
        other = copy.copy(self)
        retry = retry_policy(retries, retry_delay)
        needed = None if tags is None else list(tags)
        given = TaskOptions(
            priority=priority,
            delay_ms=optional_milliseconds(delay),
            retry=retry,
            run_max_ms=optional_milliseconds(timeout),
            tags=needed,
            no_retry=None if no_retry is None else exception_names(no_retry),
            start_by_ms=optional_milliseconds(start_by),
            total_ms=optional_milliseconds(total_timeout),
            run_at_ms=optional_moment(run_at),
            concurrency=concurrency_of(concurrency),
            rate=rate_of(rate),
            after=task_ids(after),
            on_failure=checked_policy(on_failure),
        )
        other._task_options = TaskOptions(*(_first(new, old) for new, old in zip(given, self._task_options)))
        mapping = (in_flight, ordered, return_exceptions, progress)
        other._map_options = MapOptions(*(_first(new, old) for new, old in zip(mapping, self._map_options)))
        return other

    def _prepare(self) -> None:
        """Pickle the function now, so that what cannot be pickled raises in the caller."""
        self._registration.code()

    def _submit(self, items: List[Tuple[bytes, bytes]], waiters: Waiters, references: Sequence[bytes] = ()) -> None:
        """Submit tasks; their outcomes go to the one waiter, or each to its own.

        They are given the results of the tasks that ``references`` names.
        """
        ids = [id for id, _ in items]
        results = self._client._results
        expected = waiters.items() if isinstance(waiters, dict) else [(None, waiters)]
        for id, waiter in expected:
            results.expect(ids if id is None else [id], waiter)
        try:
            self._submit_known(ids, [args for _, args in items], references)
        except BaseException:
            for id, waiter in expected:
                results.forget(ids if id is None else [id], waiter)
            raise

    def _submit_known(self, ids: List[bytes], args: List[bytes], references: Sequence[bytes]) -> None:
        core = self._client._core
        try:
            core.submit(self._registration.id(), ids, args, self._task_options, results_of=references)
        except UnknownFunction:
            # The cluster was set up anew since the function was registered.
            core.submit(self._registration.id(again=True), ids, args, self._task_options, results_of=references)

    def _map(self, id: bytes, packs: "Packs") -> int:
        """Submit a map as a whole; return its number of items."""
        core = self._client._core
        try:
            return core.map(self._registration.id(), id, packs, self._task_options)
        except UnknownFunction:
            return core.map(self._registration.id(again=True), id, packs, self._task_options)

    def __reduce__(self) -> Tuple[Any, ...]:
        # A function that refers to this one (or a recursive one to itself) takes along the plain function, which
        # copying returns as it is: the worker needs neither a client nor this package.
        return copy.copy, (self._function,)

    def __copy__(self) -> "Function[P, R]":
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __repr__(self) -> str:
        return f"<raftwork function {getattr(self, '__qualname__', self._registration.name)!s}>"


class Functions:
    """The submittable forms of plain callables that were submitted of late, so that each is pickled once.

    Callables are not kept alive: what the caller has dropped, the object of a bound method above all, goes.
    """

    #: Forms that are kept. Those of decorated functions always are.
    KEPT = 128

    def __init__(self, client: "Client") -> None:
        self._client = client
        # By identity: equality is the caller's code. The weak reference tells whether the id still is the callable's.
        self._known: "OrderedDict[int, Tuple[Callable[[], Any], Function[Any, Any]]]" = OrderedDict()

    def of(self, function: Callable[..., Any]) -> Function[Any, Any]:
        """The form of this callable, the same one as long as it is kept."""
        alive, known = self._known.pop(id(function), (None, None))
        if known is None or alive is None or alive() is not function:
            alive, known = _weakly(function), Function(self._client, function, FunctionOptions(), kept=False)
        self._known[id(function)] = (alive, known)
        if len(self._known) > self.KEPT:
            self._known.popitem(last=False)
        return known


def _weakly(function: Callable[..., Any]) -> Callable[[], Any]:
    try:
        return weakref.ref(function)
    except TypeError:
        # Instances of a class with slots: kept until others push it out.
        return lambda: function


class _Registration:
    """The pickled function and its id on the cluster, each made when it is first needed."""

    def __init__(self, client: "Client", function: Callable[..., Any], options: FunctionOptions) -> None:
        self._client = client
        # Dropped once it was pickled.
        self._function: Optional[Callable[..., Any]] = function
        self.name = str(options.name or getattr(function, "__name__", type(function).__name__))
        self._options = options
        self._lock = threading.Lock()
        self._code: Optional[bytes] = None
        self._id: Optional[bytes] = None

    def code(self) -> bytes:
        with self._lock:
            return self._pickled()

    def id(self, again: bool = False) -> bytes:
        with self._lock:
            if self._id is None or again:
                self._id = self._client._core.register(
                    self.name,
                    "pickle",
                    self._pickled(),
                    python=sys.version_info[:2],
                    retry=self._options.retry,
                    run_max_ms=self._options.run_max_ms,
                    retention_ms=self._options.retention_ms,
                )
                self._client._registered()
            return self._id

    def _pickled(self) -> bytes:
        if self._code is None:
            assert self._function is not None, "a function is dropped only after it was pickled"
            self._code = self._with_modules(dump_function(self._function))
            if len(self._code) > LARGE:
                from ._sizes import warn_of_function

                warn_of_function(self._function, len(self._code))
            self._function = None
        return self._code

    def _with_modules(self, code: bytes) -> bytes:
        from . import _modules

        include = self._options.include
        if include is None:
            _modules.check_modules(self.name, code)
        requirements = self._options.requirements
        if not include and not requirements:
            return code
        from ._runtime.include import Included

        # Always by the names of modules that workers have: the included ones are importable only after this is loaded.
        archive = _modules.pack(include) if include else b""
        return pickle.dumps(Included(code, archive, requirements), protocol=4)


def _first(new: Any, old: Any) -> Any:
    return old if new is None else new
