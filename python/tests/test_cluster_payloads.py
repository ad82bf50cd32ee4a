"""Large arguments and results on a real cluster whose leaders are killed while they are on their way.

``RAFTWORK_PAYLOAD_MIB`` sets their size, 64 MiB by default.
"""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from conftest import Cluster, wait_until

import raftwork
from raftwork import AsyncClient, Client

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::raftwork.errors.LargePayloadWarning"),
]

SIZE = int(os.environ.get("RAFTWORK_PAYLOAD_MIB", "64")) << 20
#: Far below what a node would take that held arguments and result once, in each of their forms on the way.
GROWTH_MAX = 300 << 20


class Watch:
    """The peak resident sizes of the nodes, of each process that a node had meanwhile."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._over = threading.Event()
        self.before = {name: _memory(pid, "VmRSS") for name, pid in self._nodes().items()}
        self.peak = dict(self.before)
        for pid in self._nodes().values():
            # The peak starts anew.
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _nodes(self) -> Dict[str, int]:
        nodes = (one for one in self._cluster.processes() if one["name"].startswith("n") and one["role"] != "down")
        return {one["name"]: one["pid"] for one in nodes}

    def _run(self) -> None:
        while not self._over.wait(0.2):
            for name, pid in self._nodes().items():
                try:
                    self.peak[name] = max(self.peak[name], _memory(pid, "VmHWM"))
                except (OSError, ValueError):
                    # It was killed at this moment.
                    pass

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()


def _memory(pid: int, what: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) << 10
    raise ValueError(f"process {pid} has no {what}")


@pytest.fixture
def watch(cluster: Cluster) -> Iterator[Watch]:
    """Whoever watches the memory of the nodes."""
    cluster.mend()
    watching = Watch(cluster)
    yield watching
    watching.stop()


def pattern(size: int) -> bytes:
    """Bytes of which no two parts are alike."""
    block = bytes(range(251)) * 4177
    whole = b"".join(index.to_bytes(4, "big") + block for index in range(size // len(block) + 1))
    return whole[:size]


def test_a_round_trip_outlives_its_leaders_and_no_node_holds_a_payload(
    cluster: Cluster, connected: Client, watch: Watch, tmp_path: Path
) -> None:
    go = tmp_path / "go"

    @connected.function
    def reverse(data: bytes, go: str) -> bytes:
        while not os.path.exists(go):
            time.sleep(0.02)
        return data[::-1]

    data = pattern(SIZE)
    begun, submitted = time.monotonic(), threading.Event()
    killed_early = threading.Event()

    def kill_early(leader: int) -> None:
        time.sleep(0.3)
        if not submitted.is_set():
            os.kill(leader, signal.SIGKILL)
            killed_early.set()

    # The first leader dies while arguments come.
    killer = threading.Thread(target=kill_early, args=(leader_of(cluster),))
    killer.start()
    handle = reverse.submit(data, str(go))
    submitted.set()
    killer.join()
    assert killed_early.is_set(), "the arguments were there before the leader could be killed"
    there = time.monotonic() - begun
    cluster.mend()
    # The next one while the result comes: it takes longer than this.
    wait_until(lambda: handle.status() == "running", within=120)
    leader = leader_of(cluster)
    go.touch()
    time.sleep(0.3)
    assert handle.status() == "running", "the result was there before the leader could be killed"
    os.kill(leader, signal.SIGKILL)
    assert handle.result(180) == data[::-1]
    took = time.monotonic() - begun
    cluster.mend()
    info = handle.info()
    assert info["arguments_bytes"] > SIZE and info["result_bytes"] > SIZE
    wait_until(lambda: len(set(_digests(connected))) == 1, within=60)
    watch.stop()
    print(f"{SIZE >> 20} MiB there in {there:.1f} s and back in {took:.1f} s, a leader killed on each way")
    for name, before in watch.before.items():
        print(f"  {name}: {before >> 20} MiB before, at most {watch.peak[name] >> 20} MiB")
    assert max(watch.peak[name] - before for name, before in watch.before.items()) < GROWTH_MAX
    # Another client, and any node, reads the same.
    with Client(cluster.urls) as other:
        assert other.get(handle.id).result(60) == data[::-1]


def leader_of(cluster: Cluster) -> int:
    """The process of the node that leads."""
    leaders = [one["pid"] for one in cluster.processes() if one["role"] == "leader"]
    assert len(leaders) == 1, leaders
    return int(leaders[0])


def _digests(client: Client) -> List[Any]:
    found = []
    for url in client.urls:
        with Client([url]) as node:
            digest = node.rest("GET", "/v1/cluster/digest")
            found.append((digest["applied"], digest["digest"]))
    return found


def test_large_calls_work_in_every_form(connected: Client, cluster: Cluster) -> None:
    data = pattern(5 << 20)

    def last(data: bytes) -> int:
        return data[-1]

    def twice(data: bytes) -> bytes:
        return data * 2

    # Small ones beside large ones, at the same time.
    with connected.executor() as executor:
        futures = [executor.submit(last, data), executor.submit(last, b"\x07"), executor.submit(twice, data)]
        assert [future.result(120) for future in futures] == [data[-1], 7, data * 2]

    async def both() -> None:
        async with AsyncClient(cluster.urls) as client:
            large, small = await asyncio.gather(client.submit(twice, data), client.submit(last, b"\x07"))
            assert await large == data * 2 and await small == 7
            again = client.get(large.id)
            assert await again.result(60) == data * 2

    asyncio.run(both())


def test_a_map_takes_large_items_unless_it_is_sent_as_a_whole(connected: Client) -> None:
    @connected.function
    def size(data: bytes) -> int:
        return len(data)

    large = bytes(25 << 20)
    assert list(size.map([b"a", large, b"bc"])) == [1, 25 << 20, 2]
    with pytest.raises(raftwork.Rejected, match="over the limit of 25165824"):
        size.map([b""] * 2500 + [large])


def test_a_task_with_large_arguments_is_submitted_again_and_not_redriven(connected: Client) -> None:
    @connected.function
    def fail(data: bytes) -> None:
        raise ValueError(len(data))

    handle = fail.submit(pattern(5 << 20))
    with pytest.raises(ValueError, match=str(5 << 20)):
        handle.result(60)
    with pytest.raises(raftwork.NotRedrivable, match="submit the call again"):
        handle.redrive()
