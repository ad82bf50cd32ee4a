"""Restate: the handlers, served by Hypercorn."""

import restate

service = restate.Service("bench")


@service.handler()
async def increment(ctx: restate.Context, x: int) -> int:
    """The function."""
    return x + 1


app = restate.app([service])
