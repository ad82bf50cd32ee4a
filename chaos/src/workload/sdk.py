"""Batches and maps through the Python SDK, as a user writes them, until standard input ends; each result is checked.

Prints one line of JSON for every round: {"tasks": N} if all results were right, {"wrong": TEXT} if one was not,
{"unavailable": TEXT} if the cluster did not answer in time, which is no error of anybody's while it is being broken.
"""

import json
import random
import select
import sys

import raftwork


def square(number: int) -> int:
    """The function that is run."""
    return number * number + 7


def say(**line: object) -> None:
    """Tell the harness."""
    print(json.dumps(line), flush=True)


def over() -> bool:
    """Whether the harness has closed standard input."""
    readable, _, _ = select.select([sys.stdin], [], [], 0)
    return bool(readable)


def check(numbers: "list[int]", results: "list[int]") -> None:
    """Say whether every result is right, and in its place."""
    wanted = [number * number + 7 for number in numbers]
    if results == wanted:
        say(tasks=len(numbers))
    else:
        say(wrong=f"for {numbers} the SDK returned {results}")


def main() -> None:
    """Alternate between a map and single submits."""
    draw = random.Random(int(sys.argv[2]))
    client = raftwork.Client(sys.argv[1].split(","), patience="60s")
    function = client.function(square)
    while not over():
        numbers = [draw.randrange(1_000_000) for _ in range(draw.randint(1, 40))]
        try:
            if draw.random() < 0.7:
                check(numbers, list(function.map(numbers)))
            else:
                handles = [function.submit(number) for number in numbers[:10]]
                check(numbers[:10], [handle.result(120) for handle in handles])
        except (raftwork.ClusterError, TimeoutError) as error:
            say(unavailable=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
