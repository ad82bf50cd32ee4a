"""Schedules, for asyncio."""

from typing import TYPE_CHECKING, Any, Dict, List

from ._schedules import Schedule

if TYPE_CHECKING:
    from ._async import AsyncClient, AsyncHandle


class AsyncSchedules:
    """The schedules of a cluster; see ``Schedules``."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client

    async def list(self) -> List[Dict[str, Any]]:
        """How every schedule stands, by name."""
        return await self._client._ask(self._client._client.schedules.list)

    def get(self, name: str) -> "AsyncSchedule":
        """The schedule of this name. Asks nobody yet."""
        return AsyncSchedule(self._client, self._client._client.schedules.get(name))


class AsyncSchedule:
    """A schedule; see ``Schedule``."""

    def __init__(self, client: "AsyncClient", schedule: Schedule) -> None:
        self._client = client
        self._schedule = schedule
        self.name = schedule.name

    async def info(self) -> Dict[str, Any]:
        """How it stands."""
        return await self._client._ask(self._schedule.info)

    async def pause(self) -> None:
        """Fire for nothing until it is resumed."""
        await self._client._ask(self._schedule.pause)

    async def resume(self) -> None:
        """Fire for times from now on."""
        await self._client._ask(self._schedule.resume)

    async def trigger(self) -> "AsyncHandle[Any]":
        """Submit one of its tasks now."""
        from ._async import AsyncHandle

        return AsyncHandle(self._client, await self._client._ask(self._schedule.trigger))

    async def delete(self) -> None:
        """Fire no more. Its tasks go on."""
        await self._client._ask(self._schedule.delete)

    def __repr__(self) -> str:
        return f"<Async{repr(self._schedule)[1:]}"
