"""Makes the demo's data: click events of a web shop as Parquet files, seeded, so that every machine makes the same.

    python examples/demo/make_events.py --size 1G demo/events

A few users make most of the events, as in life (so files differ in size once they are repartitioned by user); every
file holds one stretch of time, so that no user's events are in one place before the job. Each process holds one file's
rows at a time, about 150 MB, whatever the size asked for.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 200_000
"""In each file."""
BYTES_A_ROW = 68
"""Of the stored files, measured."""
USERS = 400_000
SEED = 20_260_101
START = 1_767_225_600_000_000  # 2026-01-01, in microseconds
SPAN = 90 * 86_400_000_000

KINDS = ["view", "search", "cart", "purchase", "refund"]
KIND_SHARES = [0.72, 0.15, 0.08, 0.045, 0.005]
COUNTRIES = ["DE", "FR", "GB", "US", "PL", "NO", "IT", "ES", "BR", "JP", "IN", "NL", "SE", "AT", "CH", "DK"]
BROWSERS = ["Firefox", "Chrome", "Safari", "Edge", "Opera"]
SYSTEMS = ["Linux", "Windows", "macOS", "Android", "iOS"]
WORDS = ["red", "light", "summer", "cotton", "long", "wool", "blue", "trail", "city", "kids", "steel", "garden", "old",
         "winter", "short", "green", "oak", "paper", "silk", "round"]  # fmt: skip
THINGS = ["shirt", "shoes", "lamp", "tent", "table", "bottle", "jacket", "chair", "bag", "clock", "book", "scarf"]

SCHEMA = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("user_id", pa.int64(), nullable=False),
        pa.field("ts", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("country", pa.string()),
        pa.field("amount", pa.decimal128(10, 2)),
        pa.field("page", pa.string()),
        pa.field(
            "properties",
            pa.struct(
                [
                    pa.field("browser", pa.string()),
                    pa.field("system", pa.string()),
                    pa.field("screen", pa.struct([pa.field("width", pa.int32()), pa.field("height", pa.int32())])),
                    pa.field("tags", pa.list_(pa.string())),
                ]
            ),
        ),
    ]
)

Ints = npt.NDArray[np.int64]


def events(index: int, files: int) -> pa.Table:
    """The rows of one file."""
    random = np.random.default_rng([SEED, index])
    kind = random.choice(len(KINDS), ROWS, p=KIND_SHARES)
    stretch = SPAN // files
    times = START + index * stretch + np.sort(random.integers(0, stretch, ROWS))
    return pa.table(
        [
            _hex(random, 16),
            pa.array(_users(random)),
            pa.array(times).cast(SCHEMA.field("ts").type),
            _pick(KINDS, kind),
            _pick(COUNTRIES, np.minimum(random.geometric(0.22, ROWS) - 1, len(COUNTRIES) - 1), random, nulls=0.01),
            _amounts(random, kind),
            _pages(random),
            _properties(random),
        ],
        schema=SCHEMA,
    )


def _users(random: np.random.Generator) -> Ints:
    """The most active user makes about one event in a hundred, half of the users a handful; ids say nothing of that."""
    rank = (USERS * random.random(ROWS) ** 2.6).astype(np.int64)
    rank[random.random(ROWS) < 0.01] = 0
    return 1_000_000 + rank * 48_271 % 2_147_483_647


def _pick(
    values: list[str], which: npt.NDArray[np.int64], random: np.random.Generator | None = None, nulls: float = 0.0
) -> pa.Array:
    missing = random.random(ROWS) < nulls if random is not None else None
    codes = pa.array(which.astype(np.int32), mask=missing)
    return pa.DictionaryArray.from_arrays(codes, pa.array(values)).cast(pa.string())


def _hex(random: np.random.Generator, length: int) -> pa.Array:
    """Random hexadecimal strings, all of one length."""
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)[random.integers(0, 16, ROWS * length)]
    offsets = np.arange(0, (ROWS + 1) * length, length, dtype=np.int32)
    return pa.StringArray.from_buffers(ROWS, pa.py_buffer(offsets), pa.py_buffer(digits))


def _amounts(random: np.random.Generator, kind: npt.NDArray[np.int64]) -> pa.Array:
    """Only purchases and refunds have one."""
    cents = np.exp(random.normal(3.4, 0.9, ROWS) + np.log(100)).astype(np.int64)
    cents = np.where(kind == KINDS.index("refund"), -cents, cents)
    wide = np.empty((ROWS, 2), dtype=np.int64)
    wide[:, 0], wide[:, 1] = cents, cents >> 63
    valid = np.packbits(np.isin(kind, [KINDS.index("purchase"), KINDS.index("refund")]), bitorder="little")
    return pa.Array.from_buffers(pa.decimal128(10, 2), ROWS, [pa.py_buffer(valid), pa.py_buffer(wide)])


def _pages(random: np.random.Generator) -> pa.Array:
    names = [f"/{thing}s/{first}-{second}-{thing}" for thing in THINGS for first in WORDS for second in WORDS]
    page = _pick(names, random.integers(0, len(names), ROWS))
    query = _hex(random, 12)
    return pa.compute.binary_join_element_wise(page, query, "?ref=")


def _properties(random: np.random.Generator) -> pa.Array:
    width = np.array([360, 390, 768, 1280, 1440, 1920, 2560], dtype=np.int32)[random.integers(0, 7, ROWS)]
    counts = random.integers(0, 4, ROWS)
    offsets = np.zeros(ROWS + 1, dtype=np.int32)
    np.cumsum(counts, out=offsets[1:])
    tags = pa.array(WORDS).take(pa.array(random.integers(0, len(WORDS), int(offsets[-1]))))
    kind = SCHEMA.field("properties").type
    screen = pa.StructArray.from_arrays([pa.array(width), pa.array((width * 9 // 16).astype(np.int32))],
                                        fields=list(kind.field("screen").type))  # fmt: skip
    columns = [
        _pick(BROWSERS, random.integers(0, len(BROWSERS), ROWS)),
        _pick(SYSTEMS, random.integers(0, len(SYSTEMS), ROWS), random, nulls=0.05),
        screen,
        pa.ListArray.from_arrays(pa.array(offsets), tags),
    ]
    return pa.StructArray.from_arrays(columns, fields=list(kind))


def make(folder: Path, index: int, files: int) -> int:
    """Write one file; returns its size."""
    target = folder / f"events-{index:05d}.parquet"
    table = events(index, files)
    plain = ["event_id", "page"]
    words = [name for name in SCHEMA.names if name not in (*plain, "user_id", "ts", "amount")]
    pq.write_table(table, target, compression="snappy", use_dictionary=[*words, "user_id"], row_group_size=ROWS // 2)
    return target.stat().st_size


def parse_size(text: str) -> int:
    """Bytes of 1G, 100M, 2.5G or plain digits."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kKMGT]?)i?[bB]?", text)
    if match is None or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 1G or 100M, for example")
    return int(float(match[1]) * {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}[match[2].upper()])


def main() -> int:
    parser = argparse.ArgumentParser(description="Make seeded click events as Parquet files.")
    parser.add_argument("--size", type=parse_size, default="1G", help="about so many bytes of files (default 1G)")
    parser.add_argument("--processes", type=int, default=None, help="default: one a core")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    files = max(1, round(options.size / (ROWS * BYTES_A_ROW)))
    folder: Path = options.folder
    recipe = {"files": files, "rows": files * ROWS, "seed": SEED, "version": 1}
    made = folder / "_made.json"
    if made.exists() and json.loads(made.read_text()) == recipe:
        sys.stderr.write(f"{folder} is there already: {files * ROWS:,} events in {files} files\n")
        return 0
    free = shutil.disk_usage(next(place for place in [folder, *folder.absolute().parents] if place.exists())).free
    if free < options.size * 2.2:
        sys.stderr.write(f"{options.size / 1e9:.1f} GB of events, and as much output, do not fit: "
                         f"{free / 1e9:.1f} GB are free. A smaller size: make demo SIZE=100M\n")  # fmt: skip
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begun, size = time.monotonic(), 0
    with ProcessPoolExecutor(options.processes) as pool:
        each = [pool.submit(make, folder, index, files) for index in range(files)]
        for count, future in enumerate(each, 1):
            size += future.result()
            if sys.stderr.isatty():
                sys.stderr.write(f"\rMaking events: {count} of {files} files, {size / 1e6:,.0f} MB ")
                sys.stderr.flush()
    made.write_text(json.dumps(recipe))
    sys.stderr.write(f"{chr(13) if sys.stderr.isatty() else ''}Made {files * ROWS:,} events in {files} files, "
                     f"{size / 1e6:,.0f} MB, in {time.monotonic() - begun:.0f} s: {folder}\n")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
