"""Counts the words of a folder of text files: a map over chunks of text, then a reduce, both on the cluster.

    python examples/wordcount.py DIR [--suffix .py] [--top 20]

The Python standard library will do as DIR: python -c "import os; print(os.path.dirname(os.__file__))"
"""

import argparse
import os
import re
import time
from collections import Counter
from typing import Dict, Iterator, List, TypeVar

from raftwork import Client

client = Client()
T = TypeVar("T")

#: Text for one task: large enough that counting it costs more than sending it.
CHUNK_BYTES = 256 * 1024
#: Partial counts that one reduce task adds up.
FAN_IN = 16


@client.function(retries=3)
def count(texts: List[str]) -> Dict[str, int]:
    """The map: words of some texts, in lower case, with how often each occurs."""
    words: "Counter[str]" = Counter()
    for text in texts:
        words.update(re.findall(r"[a-z]+", text.lower()))
    return dict(words)


@client.function(retries=3)
def add_up(parts: List[Dict[str, int]]) -> Dict[str, int]:
    """The reduce: partial counts into one."""
    total: "Counter[str]" = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def texts_in(folder: str, suffix: str) -> Iterator[str]:
    """The text of every file in the folder and below it; what is no UTF-8 text is passed over."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith(suffix):
                try:
                    with open(os.path.join(place, name), encoding="utf-8") as file:
                        yield file.read()
                except UnicodeDecodeError:
                    continue


def chunks(texts: Iterator[str]) -> Iterator[List[str]]:
    """Texts in groups of about ``CHUNK_BYTES``."""
    group: List[str] = []
    size = 0
    for text in texts:
        group.append(text)
        size += len(text)
        if size >= CHUNK_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def groups_of(items: List[T], size: int) -> List[List[T]]:
    """Items in groups of ``size``."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Counts words on the cluster.")
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--suffix", default="", help="only files whose name ends so")
    parser.add_argument("--top", type=int, default=10, help="words to show (default: 10)")
    arguments = parser.parse_args()
    if not os.path.isdir(arguments.folder):
        parser.error(f"there is no folder {arguments.folder}")

    start = time.monotonic()
    # Files are read as results come in; the folder may be larger than memory.
    parts = list(count.options(in_flight=256).map(chunks(texts_in(arguments.folder, arguments.suffix))))
    tasks = len(parts)
    while len(parts) > 1:
        groups = groups_of(parts, FAN_IN)
        tasks += len(groups)
        parts = list(add_up.map(groups))
    words = parts[0] if parts else {}
    for word, number in sorted(words.items(), key=lambda item: (-item[1], item[0]))[: arguments.top]:
        print(f"{number:8}  {word}")
    took = time.monotonic() - start
    print(f"{sum(words.values())} words, {len(words)} different ones, {tasks} tasks, {took:.1f} s")


if __name__ == "__main__":
    main()
