"""Restate: the client, by HTTP as its documentation shows."""

import asyncio
import itertools
import os
from importlib.metadata import version

import aiohttp
from workload import System, serve, timed

#: Requests at a time: beyond this it got no faster.
CALLS = 256
SENDS = 128


class Restate(System):
    def versions(self):
        return {"restate-sdk": version("restate-sdk"), "hypercorn": version("hypercorn")}

    def __init__(self):
        self._urls = itertools.cycle(os.environ["BENCH_INGRESS"].split(","))
        self._loop = asyncio.new_event_loop()
        self._session = self._loop.run_until_complete(self._open())

    async def _open(self):
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    def run_all(self, values):
        sent = self._side_by_side(self._send, values, SENDS)
        return self._side_by_side(self._attach, sent, SENDS)

    def call_all(self, values):
        return self._side_by_side(self._call, values, CALLS)

    def run_one(self, value):
        return self._loop.run_until_complete(self._call(value))

    def submit_all(self, values):
        self._side_by_side(self._send, values, SENDS)

    async def _call(self, value):
        return await self._post(f"{next(self._urls)}/bench/increment", value)

    async def _send(self, value):
        """The invocation, and the node that knows it: another one would have to ask that."""
        url = next(self._urls)
        return url, (await self._post(f"{url}/bench/increment/send", value))["invocationId"]

    async def _attach(self, sent):
        url, invocation = sent
        async with self._session.get(f"{url}/restate/invocation/{invocation}/attach") as answer:
            answer.raise_for_status()
            return await answer.json(content_type=None)

    async def _post(self, url, value):
        async with self._session.post(url, json=value) as answer:
            answer.raise_for_status()
            return await answer.json(content_type=None)

    def _side_by_side(self, once, values, lanes):
        async def run():
            results = [None] * len(values)
            waiting = iter(enumerate(values))

            async def lane():
                for index, value in waiting:
                    results[index] = await once(value)

            await asyncio.gather(*(lane() for _ in range(lanes)))
            return results

        return self._loop.run_until_complete(run())


if __name__ == "__main__":
    serve(Restate(), end_to_end_calls=lambda system, size: timed(system.call_all, size))
