"""Lists that come in pages."""

from typing import TYPE_CHECKING, Any, Dict, List
from urllib.parse import quote

if TYPE_CHECKING:
    from ._client import Client


def everything(client: "Client", kind: str) -> List[Dict[str, Any]]:
    """All items of the list at ``/v1/KIND``, whose pages have them under that name, in its order."""
    found: List[Dict[str, Any]] = []
    after = ""
    while True:
        page = client.rest("GET", f"/v1/{kind}?limit=1000{after}")
        found += page[kind]
        if not page.get("next"):
            return found
        after = f"&after={quote(page['next'], safe='')}"
