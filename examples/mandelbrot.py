"""A picture of the Mandelbrot set, computed as hundreds of tiles on the cluster.

    python examples/mandelbrot.py --size 2048 --tiles 400 --out mandelbrot.png

Needs numpy, here and where the workers run. The same size gives the same file, byte for byte, whatever happens to the
cluster meanwhile: kill the leader half-way (raftwork dev kill leader) and compare.
"""

import argparse
import math
import struct
import sys
import time
import zlib
from typing import Iterator, Tuple

import numpy

from raftwork import Client

client = Client()

#: The part of the plane that is shown: the valley between the head and the body of the set.
CENTRE = complex(-0.743643, 0.131825)
WIDTH = 0.012
ITERATIONS = 600

Tile = Tuple[int, int, int, int]


@client.function(retries=3, timeout="5m")
def render(size: int, tile: Tile) -> bytes:
    """Compute one tile (left, top, right, bottom), as rows of 8-bit RGB."""
    left, top, right, bottom = tile
    scale = WIDTH / size
    x = CENTRE.real + (numpy.arange(left, right) + 0.5 - size / 2) * scale
    y = CENTRE.imag - (numpy.arange(top, bottom) + 0.5 - size / 2) * scale
    c = (x[None, :] + 1j * y[:, None]).ravel()
    z = numpy.zeros_like(c)
    escape = numpy.full(c.shape, float(ITERATIONS))
    alive = numpy.arange(c.size)
    for step in range(ITERATIONS):
        z[alive] = z[alive] ** 2 + c[alive]
        size2 = z[alive].real ** 2 + z[alive].imag ** 2
        out = size2 > 256.0
        # The fraction makes bands into a smooth shade.
        escape[alive[out]] = step + 1 - numpy.log2(numpy.log2(size2[out]) / 2)
        alive = alive[~out]
        if alive.size == 0:
            break
    return shade(escape).reshape(bottom - top, right - left, 3).tobytes()


def shade(escape: "numpy.ndarray") -> "numpy.ndarray":
    """Colours of escape times; black inside of the set."""
    phase = numpy.sqrt(escape / ITERATIONS)[:, None] * 9.0 + numpy.array([3.6, 4.1, 4.9])
    colour = (127.5 * (1.0 + numpy.sin(phase))).astype(numpy.uint8)
    colour[escape >= ITERATIONS] = 0
    return colour


def tiles_of(size: int, wanted: int) -> Iterator[Tile]:
    """About ``wanted`` tiles that cover a square of ``size`` pixels."""
    edge = max(1, math.ceil(size / max(1, round(math.sqrt(wanted)))))
    for top in range(0, size, edge):
        for left in range(0, size, edge):
            yield left, top, min(left + edge, size), min(top + edge, size)


def png(pixels: "numpy.ndarray") -> bytes:
    """A PNG file of 8-bit RGB pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = numpy.zeros((height, 1 + 3 * width), numpy.uint8)  # each row begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(rows.tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def progress(done: int, total: int, start: float) -> None:
    """One line that grows; only the last one where nobody watches."""
    if sys.stderr.isatty() or done == total:
        bar = "#" * (40 * done // total)
        took = time.monotonic() - start
        end = "\n" if done == total else ""
        print(f"\r[{bar:40}] {done}/{total} tiles, {took:.1f} s", end=end, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Renders the Mandelbrot set on the cluster.")
    parser.add_argument("--size", type=int, default=1024, help="pixels of each side (default: 1024)")
    parser.add_argument("--tiles", type=int, default=256, help="about so many tasks (default: 256)")
    parser.add_argument("--out", default="mandelbrot.png", help="file to write (default: mandelbrot.png)")
    arguments = parser.parse_args()

    size = arguments.size
    tiles = list(tiles_of(size, arguments.tiles))
    picture = numpy.zeros((size, size, 3), numpy.uint8)
    start = time.monotonic()
    for done, (tile, rgb) in enumerate(zip(tiles, render.map(size, tiles)), start=1):
        left, top, right, bottom = tile
        picture[top:bottom, left:right] = numpy.frombuffer(rgb, numpy.uint8).reshape(bottom - top, right - left, 3)
        progress(done, len(tiles), start)
    with open(arguments.out, "wb") as file:
        file.write(png(picture))
    print(f"wrote {arguments.out}: {size} x {size} pixels in {len(tiles)} tiles")


if __name__ == "__main__":
    main()
