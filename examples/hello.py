"""The smallest program: one function, run here and on the cluster.

    raftwork dev                  # in another terminal, or ./start.sh
    python examples/hello.py [NAME]
"""

import os
import sys

from raftwork import Client

client = Client()  # $RAFTWORK_URL, else http://127.0.0.1:7001


@client.function(retries=2, timeout="30s")
def greet(name: str) -> str:
    """Say hello, and from where."""
    print(f"greeting {name}")
    return f"Hello, {name}! This is process {os.getpid()}."


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "world"

    print("here:      ", greet(name))

    task = greet.submit(name)
    print("cluster:   ", task.result(timeout=60))
    print("it printed:", task.logs().strip())
    print("task id:   ", task.id, "(its result can be fetched from any process: client.get(id).result())")

    print("map:       ", sum(len(text) for text in greet.map(["Ada", "Grace", "Edsger"])), "characters in 3 greetings")


if __name__ == "__main__":
    main()
