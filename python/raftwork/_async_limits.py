"""Limits by key, for asyncio."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional

from ._span import Span

if TYPE_CHECKING:
    from ._async import AsyncClient


class AsyncLimits:
    """The limits of a cluster; see ``Limits``."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client
        self._limits = client._client.limits

    async def list(self) -> List[Dict[str, Any]]:
        """Every limit."""
        return await self._client._ask(self._limits.list)

    async def get(self, key: str, *, kind: str = "concurrency") -> Dict[str, Any]:
        """One limit, with who has the leases under it."""
        return await self._client._ask(lambda: self._limits.get(key, kind=kind))

    async def set(self, key: str, *, max: int, per: Optional[Span] = None) -> Dict[str, Any]:
        """Set a limit; it stands above what submits say."""
        return await self._client._ask(lambda: self._limits.set(key, max=max, per=per))

    async def unset(self, key: str, *, kind: str = "concurrency") -> None:
        """Leave a limit to what submits say again."""
        await self._client._ask(lambda: self._limits.unset(key, kind=kind))
