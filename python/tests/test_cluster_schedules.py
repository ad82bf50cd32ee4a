"""Schedules on a real cluster whose leaders are killed: no nominal time is missed, none is fired for twice.

The small form runs with the other tests. ``RAFTWORK_SCHEDULES=10000 RAFTWORK_KILLS=5`` makes it the large one
(``docs/testing.md``).
"""

import datetime
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List
from urllib.parse import quote

import pytest
from conftest import Cluster, wait_until

from raftwork import Client

pytestmark = pytest.mark.cluster

SCHEDULES = int(os.environ.get("RAFTWORK_SCHEDULES", "100"))
KILLS = int(os.environ.get("RAFTWORK_KILLS", "1"))
#: A span that a debug build on two cores keeps up with.
EVERY_S = max(2, SCHEDULES // 100)


def _ms(moment: str) -> int:
    return round(datetime.datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1000)


def _tasks(client: Client) -> List[Dict[str, Any]]:
    found: List[Dict[str, Any]] = []
    after = ""
    while True:
        page = client.rest("GET", f"/v1/tasks?limit=1000{after}")
        found += page["tasks"]
        if not page.get("next"):
            return found
        after = f"&after={quote(page['next'], safe='')}"


def test_no_time_is_missed_or_fired_twice_over_leader_kills(cluster: Cluster, connected: Client) -> None:
    function = connected.function(name="nothing")(abs)
    names = [f"check-{n}" for n in range(SCHEDULES)]

    def make(name: str) -> None:
        connected.schedule(name, function, [-1], every=EVERY_S, catch_up="all", catch_up_max=1000)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(make, names))
        for _ in range(KILLS):
            time.sleep(EVERY_S / 2)
            cluster.run("dev", "kill", "leader")
            time.sleep(3)
            cluster.mend()
        settled = time.time() * 1000
        wait_until(lambda: all(_ms(one["last"]) > settled for one in connected.schedules.list()), EVERY_S + 120)
        list(pool.map(lambda name: connected.schedules.get(name).pause(), names))
        schedules = {one["name"]: one for one in connected.schedules.list() if one["name"] in names}
        list(pool.map(lambda name: connected.schedules.get(name).delete(), names))

    fired = Counter(
        (task["schedule"]["name"], _ms(task["schedule"]["nominal"])) for task in _tasks(connected) if "schedule" in task
    )
    expected = set()
    for name, one in schedules.items():
        made, last = _ms(one["made_at"]), _ms(one["last"])
        expected.update((name, nominal) for nominal in range(made + EVERY_S * 1000, last + 1, EVERY_S * 1000))
    assert len(schedules) == SCHEDULES and len(expected) >= 2 * SCHEDULES
    got = {time for time in fired if time[0] in schedules}
    assert expected - got == set(), "times were missed"
    assert got - expected == set(), "times were fired for that are none"
    assert [time for time, count in fired.items() if count > 1] == [], "times were fired for twice"
    print(f"{SCHEDULES} schedules, {KILLS} leader kills, {len(expected)} nominal times: each fired for once")
