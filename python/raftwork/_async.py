"""The client for asyncio: the names of ``Client``, with ``await`` in front of whatever asks the cluster."""

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import (
    TYPE_CHECKING,
    Any,
    AsyncIterator,
    Callable,
    Dict,
    Generator,
    Generic,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    TypeVar,
    Union,
    cast,
    overload,
)

from ._after import taken_out
from ._arrivals import Arrivals
from ._async_limits import AsyncLimits
from ._async_schedules import AsyncSchedule, AsyncSchedules
from ._batcher import Batcher, Item
from ._client import Client
from ._core import new_task_ids
from ._function import Function, P
from ._futures import Arrival
from ._handle import Handle
from ._map import Calls, MapResults, map_calls, starmap_calls
from ._names import Exceptions
from ._outcome import Outcome
from ._serialize import dump_call
from ._span import Span

if TYPE_CHECKING:
    from ._after import After
    from ._executor import Executor

T = TypeVar("T")
R = TypeVar("R")

#: Threads for what asks the cluster and waits: status, cancel, logs. Submits share one, and results another.
ASKING_THREADS = 4


class AsyncClient:
    """A client of one cluster for asyncio; see ``Client`` for what everything means.

    Submits that are made at the same time share requests. It can be used from any number of event loops. Giving up an
    ``await`` (a timeout, a cancelled ``asyncio.Task``) gives up waiting and no more: the task on the cluster goes on
    until ``AsyncHandle.cancel``.
    """

    def __init__(self, url: Union[str, Sequence[str], None] = None, *, patience: Span = "30s") -> None:
        self._client = Client(url, patience=patience)
        self._submits = Batcher("raftwork-submits")
        self._threads = ThreadPoolExecutor(ASKING_THREADS, "raftwork-async")

    @property
    def urls(self) -> List[str]:
        """The nodes that were named."""
        return self._client.urls

    @overload
    def function(self, function: "Callable[P, R]") -> "AsyncFunction[P, R]": ...

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
    ) -> "Callable[[Callable[P, R]], AsyncFunction[P, R]]": ...

    def function(self, function: Optional[Callable[..., Any]] = None, **options: Any) -> Any:
        """Decorate a function, so that it can be submitted; options as in ``Client.function``."""

        def decorate(function: Callable[..., Any]) -> AsyncFunction[Any, Any]:
            return AsyncFunction(self, self._client.function(**options)(function))

        return decorate if function is None else decorate(function)

    @overload
    async def submit(
        self, function: Callable[..., R], /, *args: Any, after: "After", on_failure: str = "fail", **kwargs: Any
    ) -> "AsyncHandle[R]": ...

    @overload
    async def submit(
        self, function: "Callable[P, R]", /, *args: "P.args", **kwargs: "P.kwargs"
    ) -> "AsyncHandle[R]": ...

    async def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "AsyncHandle[Any]":
        """Run any function on the cluster; ``after`` and ``on_failure`` are as for ``Client.submit``."""
        options = taken_out(function, kwargs)
        known = self._function_of(function)
        return await self._submit(known.options(**options) if options else known, args, kwargs)

    def get(self, id: Union[str, uuid.UUID]) -> "AsyncHandle[Any]":
        """Return the handle of a task that was submitted before, by anybody. Asks nobody yet."""
        return AsyncHandle(self, self._client.get(id))

    async def get_map(self, id: Union[str, uuid.UUID], **options: Any) -> "AsyncMapResults[Any]":
        """Return the results of a map that was submitted before, by anybody; see ``Client.get_map``."""
        results = await self._ask(lambda: self._client.get_map(id, **options))
        return AsyncMapResults(self, lambda: results)

    async def as_completed(
        self, handles: "Iterable[AsyncHandle[R]]", timeout: Optional[float] = None
    ) -> "AsyncIterator[AsyncHandle[R]]":
        """Iterate over handles as their tasks end, those that have ended first."""
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        left = {handle._handle._bytes: handle for handle in handles}
        for handle in [handle for handle in left.values() if handle.done()]:
            yield left.pop(handle._handle._bytes)
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        arrivals = Arrivals(lambda: _tell(loop, news.set))
        if left:
            self._client._expect(list(left), arrivals)
        try:
            while left:
                if not arrivals.outcomes:
                    news.clear()
                    # Looked at again, because one may have come before the event was cleared.
                    if not arrivals.outcomes:
                        await _within(news.wait(), deadline, f"{len(left)} tasks have not ended after {timeout} s")
                    continue
                outcome = arrivals.outcomes.popleft()
                ended = left.pop(outcome.id)
                ended._handle.ended(outcome)
                yield ended
        finally:
            self._client._results.forget(list(left), arrivals)

    def executor(self, max_workers: Optional[int] = None) -> "Executor":
        """Return a ``concurrent.futures.Executor``, as for ``loop.run_in_executor``."""
        return self._client.executor(max_workers)

    async def rest(self, method: str, path: str, body: Any = None) -> Any:
        """Send a plain HTTP request to whichever node answers, JSON in and out."""
        return await self._ask(self._client.rest, method, path, body)

    @property
    def limits(self) -> "AsyncLimits":
        """The limits of the cluster: how many tasks under a key may be leased, or start."""
        return AsyncLimits(self)

    @property
    def schedules(self) -> "AsyncSchedules":
        """The schedules of the cluster."""
        return AsyncSchedules(self)

    async def schedule(self, name: str, function: Callable[..., Any], *arguments: Any, **when: Any) -> "AsyncSchedule":
        """Submit a task again and again; see ``Client.schedule``."""
        plain = self._function_of(function)
        schedule = await self._ask(lambda: self._client.schedule(name, plain, *arguments, **when))
        return AsyncSchedule(self, schedule)

    async def register_function(self, function: Callable[..., Any]) -> str:
        """Register a function and return its id; see ``Client.register_function``."""
        return await self._ask(self._client.register_function, function)

    async def run(self, *args: Any, function_id: str, endpoint_id: Any = None, **kwargs: Any) -> str:
        """Submit a call of a registered function and return the task's id; see ``Client.run``."""
        return await self._ask(lambda: self._client.run(*args, function_id=function_id, **kwargs))

    async def get_result(self, task_id: str) -> Any:
        """Return the result of a task that has ended; see ``Client.get_result``."""
        return await self._ask(self._client.get_result, task_id)

    async def close(self) -> None:
        """Hand over what was submitted, and close the connection. Tasks go on."""
        self._submits.close()
        await self._ask(self._submits.join)
        await self._ask(self._client.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<raftwork.AsyncClient {','.join(self.urls)}>"

    def _function_of(self, function: Callable[..., Any]) -> Function[Any, Any]:
        return function._function if isinstance(function, AsyncFunction) else self._client._function_of(function)

    async def _ask(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call what waits for the cluster, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    async def _submit(self, function: Function[Any, Any], args: Any, kwargs: Any) -> "AsyncHandle[Any]":
        function._prepare()
        handle: Handle[Any] = Handle(self._client, new_task_ids(1)[0], watched=True)
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()

        def sent(error: Optional[BaseException]) -> None:
            _tell(loop, lambda: _settle(accepted, error))

        payload, references = dump_call(args, kwargs)
        if not self._submits.put(Item(function, handle._bytes, payload, handle, sent, references)):
            raise RuntimeError("this raftwork client is closed")
        await accepted
        return AsyncHandle(self, handle)


class AsyncFunction(Generic[P, R]):
    """A function of an ``AsyncClient``: calling it runs it here, ``await submit`` and ``map`` run it on the cluster."""

    def __init__(self, client: AsyncClient, function: "Function[P, R]") -> None:
        self.__dict__.update(function._function.__dict__ if hasattr(function._function, "__dict__") else {})
        self.__wrapped__ = function._function
        self.__doc__ = function.__doc__
        self.__name__ = function._registration.name
        self._client = client
        self._function = function

    def __call__(self, *args: "P.args", **kwargs: "P.kwargs") -> R:
        """Run the function here, as if it had not been decorated."""
        return self._function(*args, **kwargs)

    async def submit(self, *args: "P.args", **kwargs: "P.kwargs") -> "AsyncHandle[R]":
        """Run the function on the cluster. The task is durable on a majority of nodes when this returns."""
        return await self._client._submit(self._function, args, kwargs)

    def map(self, *iterables: Any, **constants: Any) -> "AsyncMapResults[R]":
        """Run the function for each element; ``async for`` gives the results. Nothing is submitted before."""
        return self._map_results(map_calls(iterables, constants))

    def starmap(self, arguments: Iterable[Sequence[Any]]) -> "AsyncMapResults[R]":
        """As ``map``, with the positional arguments of each call in one tuple."""
        return self._map_results(starmap_calls(arguments))

    def _map_results(self, calls: Calls) -> "AsyncMapResults[R]":
        return AsyncMapResults(self._client, lambda: self._function._map_results(calls))

    async def delay(self, *args: "P.args", **kwargs: "P.kwargs") -> "AsyncHandle[R]":
        """As ``submit``."""
        return await self.submit(*args, **kwargs)

    async def apply_async(
        self, args: Sequence[Any] = (), kwargs: Optional[Dict[str, Any]] = None, **options: Any
    ) -> "AsyncHandle[R]":
        """As ``submit``, in Celery's form."""
        from ._shims import celery_options

        return await self.options(**celery_options(options)).submit(*args, **(kwargs or {}))

    def options(self, **options: Any) -> "AsyncFunction[P, R]":
        """Return the same function with other options; see ``Function.options``."""
        return AsyncFunction(self._client, self._function.options(**options))

    def __reduce__(self) -> Any:
        return self._function.__reduce__()

    def __repr__(self) -> str:
        return repr(self._function)


class AsyncHandle(Generic[R]):
    """One task; ``await handle`` is its result. See ``Handle``."""

    __slots__ = ("_client", "_handle")

    def __init__(self, client: AsyncClient, handle: Handle[R]) -> None:
        self._client = client
        self._handle = handle

    @property
    def id(self) -> str:
        """The task's id, the same on every node and after every fail-over."""
        return self._handle.id

    async def result(self, timeout: Optional[float] = None) -> R:
        """Wait for the result and return it, or raise what stands in its place."""
        outcome = await self._outcome(timeout)
        return cast(R, await self._client._ask(outcome.value) if outcome.is_large else outcome.value())

    async def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        """Wait for the end of the task; return what ``result`` would raise, or ``None``."""
        outcome = await self._outcome(timeout)
        return None if outcome.status == "completed" else outcome.exception()

    def done(self) -> bool:
        """Whether the task has ended, as far as this client was told. Asks nobody."""
        return self._handle.done()

    async def status(self) -> str:
        """Where the task stands."""
        return await self._client._ask(self._handle.status)

    async def cancel(self) -> bool:
        """End the task before it ends itself; ``False`` if it had ended."""
        return await self._client._ask(self._handle.cancel)

    async def progress(self) -> Optional[Dict[str, Any]]:
        """How far the running task says it is; see ``Handle.progress``."""
        return await self._client._ask(self._handle.progress)

    async def redrive(self) -> "AsyncHandle[R]":
        """Run a task that failed or was parked again, as a new task, and return its handle; see ``Handle.redrive``."""
        return AsyncHandle(self._client, await self._client._ask(self._handle.redrive))

    async def logs(self, *, follow: bool = False) -> Union[str, Iterator[str]]:
        """What the task has printed; with ``follow``, once the task has ended."""
        if follow:
            await self._outcome(None)
        return await self._client._ask(self._handle.logs)

    async def info(self) -> Any:
        """Everything that the cluster knows of the task but its arguments and result."""
        return await self._client._ask(self._handle.info)

    async def why(self) -> str:
        """Why the task is not running, or what became of it, in one sentence for people."""
        return await self._client._ask(self._handle.why)

    async def explain(self) -> Any:
        """Why the task is not running, for programs."""
        return await self._client._ask(self._handle.explain)

    async def get(self, timeout: Optional[float] = None) -> R:
        """As ``result``."""
        return await self.result(timeout)

    async def ready(self) -> bool:
        """Whether the task has ended; asks the cluster."""
        return await self._client._ask(self._handle.ready)

    def future(self) -> Any:
        """Return a ``concurrent.futures.Future`` of the result."""
        return self._handle.future()

    def __await__(self) -> Generator[Any, None, R]:
        return self.result().__await__()

    def __reduce__(self) -> Any:
        return self._handle.__reduce__()

    def __copy__(self) -> "AsyncHandle[R]":
        return self

    def __deepcopy__(self, memo: Any) -> "AsyncHandle[R]":
        return self

    async def _outcome(self, timeout: Optional[float]) -> Outcome:
        handle = self._handle
        if handle._outcome is None:
            arrival = Arrival()
            self._client._client._expect([handle._bytes], arrival)
            deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
            text = f"task {handle.id} has not ended after {timeout} s; it goes on"
            handle.ended(await _within(asyncio.wrap_future(arrival), deadline, text))
        assert handle._outcome is not None, "the wait was for it"
        return handle._outcome

    def __repr__(self) -> str:
        return f"<Async{repr(self._handle)[1:]}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncHandle) and other._handle == self._handle

    def __hash__(self) -> int:
        return hash(self._handle)


class AsyncMapResults(Generic[R]):
    """Asynchronous iterator over the results of a ``map``; see ``MapResults``."""

    def __init__(self, client: AsyncClient, make: "Callable[[], MapResults[R]]") -> None:
        self._client = client
        self._make = make
        self._results: Optional[MapResults[R]] = None

    @property
    def id(self) -> Optional[str]:
        """The id of the map, for ``get_map``; ``None`` before the first result was asked for."""
        return None if self._results is None else self._results.id

    @property
    def submitted(self) -> int:
        """Tasks submitted so far."""
        return 0 if self._results is None else self._results.submitted

    @property
    def finished(self) -> int:
        """Tasks that have ended so far, handed out or not."""
        return 0 if self._results is None else self._results.finished

    def __aiter__(self) -> "AsyncMapResults[R]":
        return self

    async def __anext__(self) -> R:
        """Return the next result, waiting for it; submit more as the window allows."""
        if self._results is None:
            self._results = await self._client._ask(self._make)
        if self._results.ready():
            # Neither submits nor waits, so that it needs no thread.
            value, ended = _next(self._results)
        else:
            value, ended = await self._client._ask(_next, self._results)
        if ended:
            raise StopAsyncIteration
        return cast(R, value)

    async def cancel(self) -> None:
        """Submit nothing more, and cancel what has not ended; the results of cancelled tasks raise."""
        if self._results is None:
            self._results = await self._client._ask(self._make)
        await self._client._ask(self._results.cancel)


def _next(results: MapResults[Any]) -> Any:
    """A result, and whether there was none: ``StopIteration`` does not pass through a future."""
    try:
        return next(results), False
    except StopIteration:
        return None, True


async def _within(awaitable: Any, deadline: Optional[float], text: str) -> Any:
    """Wait for something until a time of the loop's clock."""
    left = None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())
    try:
        return await asyncio.wait_for(awaitable, left)
    except asyncio.TimeoutError:
        raise asyncio.TimeoutError(text) from None


def _settle(future: "asyncio.Future[None]", error: Optional[BaseException]) -> None:
    if not future.done():
        future.set_result(None) if error is None else future.set_exception(error)


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[[], Any]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        # The loop was closed; nobody waits there any more.
        pass
