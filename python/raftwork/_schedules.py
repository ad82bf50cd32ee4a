"""Schedules: tasks that are submitted again and again, by whichever node leads."""

import base64
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence
from urllib.parse import quote

from ._pages import everything
from ._serialize import dump_arguments
from ._span import Span, milliseconds

if TYPE_CHECKING:
    from ._client import Client
    from ._function import TaskOptions
    from ._handle import Handle


class Schedule:
    """A schedule of the cluster, by its name. Nothing is asked before a method is called."""

    def __init__(self, client: "Client", name: str) -> None:
        self._client = client
        self.name = name

    def info(self) -> Dict[str, Any]:
        """How it stands: ``cron`` or ``every``, ``paused``, ``last``, the ``next`` times, counts; see ``/docs``."""
        answer: Dict[str, Any] = self._client.rest("GET", _path(self.name))
        return answer

    def pause(self) -> None:
        """Fire for nothing until it is resumed."""
        self._client.rest("POST", _path(self.name, "/pause"), {})

    def resume(self) -> None:
        """Fire for times from now on; those that passed while it was paused are left out."""
        self._client.rest("POST", _path(self.name, "/resume"), {})

    def trigger(self) -> "Handle[Any]":
        """Submit one of its tasks now, paused or not; its times stay as they are."""
        return self._client.get(self._client.rest("POST", _path(self.name, "/trigger"), {})["task_id"])

    def delete(self) -> None:
        """Fire no more. Its tasks go on."""
        self._client.rest("DELETE", _path(self.name))

    def __repr__(self) -> str:
        return f"<raftwork schedule {self.name!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


class Schedules:
    """The schedules of a cluster: ``client.schedules``."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def list(self) -> List[Dict[str, Any]]:
        """How every schedule stands, by name."""
        return everything(self._client, "schedules")

    def get(self, name: str) -> Schedule:
        """The schedule of this name. Asks nobody yet."""
        return Schedule(self._client, name)

    def put(
        self,
        name: str,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Optional[Mapping[str, Any]] = None,
        **when: Any,
    ) -> Schedule:
        """As ``Client.schedule``."""
        submittable = self._client._function_of(function)
        if submittable._task_options.run_at_ms is not None:
            raise ValueError("a schedule says itself when its tasks run: leave run_at out")
        submittable._task_options.refuse_after("a schedule")
        body = timing_of(**when)
        body.update(options_of(submittable._task_options))
        body["function_id"] = _uuid(submittable._registration.id())
        body["payload"] = base64.b64encode(dump_arguments(tuple(args), dict(kwargs or {}))).decode()
        self._client.rest("PUT", _path(name), body)
        return Schedule(self._client, name)


def timing_of(
    *,
    cron: Optional[str] = None,
    every: Optional[Span] = None,
    time_zone: Optional[str] = None,
    catch_up: str = "latest",
    catch_up_max: Optional[int] = None,
    overlap: str = "allow",
) -> Dict[str, Any]:
    """When a schedule fires, as the cluster takes it."""
    if (cron is None) == (every is None):
        raise TypeError("a schedule has either cron= or every=")
    given = {
        "cron": cron,
        "every": None if every is None else f"{milliseconds(every)}ms",
        "time_zone": time_zone,
        "catch_up": catch_up,
        "catch_up_max": catch_up_max,
        "overlap": overlap,
    }
    return {name: value for name, value in given.items() if value is not None}


def options_of(options: "TaskOptions") -> Dict[str, Any]:
    """The options of a submit, as the cluster takes them over HTTP."""
    retry, concurrency, rate = options.retry, options.concurrency, options.rate
    given = {
        "priority": options.priority,
        "delay": _ms(options.delay_ms),
        "retry": retry and dict(zip(("max_attempts", "initial_ms", "max_ms"), retry)),
        "timeout": _ms(options.run_max_ms),
        "tags": options.tags or None,
        "concurrency": concurrency and dict(zip(("key", "max"), concurrency)),
        "rate": rate and {"key": rate[0], "max": rate[1], "per": _ms(rate[2])},
        "no_retry": options.no_retry or None,
        "start_by": _ms(options.start_by_ms),
        "total_timeout": _ms(options.total_ms),
    }
    return {name: value for name, value in given.items() if value is not None}


def _ms(milliseconds: Optional[int]) -> Optional[str]:
    return None if milliseconds is None else f"{milliseconds}ms"


def _uuid(id: bytes) -> str:
    import uuid

    return str(uuid.UUID(bytes=id))


def _path(name: str, action: str = "") -> str:
    return f"/v1/schedules/{quote(name, safe='')}{action}"
