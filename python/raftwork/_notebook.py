"""How a notebook shows tasks. Plain HTML with inline styles: nothing is loaded, nothing runs."""

import html
from typing import TYPE_CHECKING, Any

from .errors import ClusterError

if TYPE_CHECKING:
    from ._handle import Handle

_COLOURS = {"completed": "#1a7f37", "failed": "#cf222e", "parked": "#cf222e", "running": "#0969da"}


def task_card(handle: "Handle[Any]") -> str:
    """A line with the status at this moment, the id, and the reason if there is one."""
    from ._follow import why

    try:
        explanation = handle.explain()
        status, note = explanation["status"], why(explanation)
    except ClusterError as error:
        status, note = "unknown", str(error)
    colour = _COLOURS.get(status, "#57606a")
    return (
        f'<div><span style="color: {colour}; font-weight: bold">{html.escape(status)}</span> '
        f"<code>{handle.id}</code> {html.escape(note)}</div>"
    )
