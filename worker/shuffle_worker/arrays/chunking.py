"""What a job's `chunks`, `shards` and `select` mean for one array: lengths from the user's words. Pure."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shuffle_protocol.errors import InvalidSpec

AUTO = "Auto"
WHOLE = -1


class Selection(NamedTuple):
    """A selection of one dimension: `length` positions from `start` on, every `step`-th."""

    start: int
    step: int
    length: int


def selection(text: str, size: int, where: str) -> Selection:
    """Parse `start:stop:step` as in Python: each is optional, and negative numbers count from the end."""
    numbers = text.split(":")
    try:
        if not 2 <= len(numbers) <= 3:
            raise ValueError
        start, stop, step = (int(number) if number.strip() else None for number in [*numbers, ""][:3])
    except ValueError:
        raise InvalidSpec(
            f"{where}: {text!r} is no slice; write start:stop or start:stop:step, for example 0:24 or ::2 "
            "(5:6 for one position)"
        ) from None
    if step is not None and step < 1:
        raise InvalidSpec(f"{where}: {text!r} has a step of {step}; 1 is the least")
    found = range(*slice(start, stop, step).indices(size))
    if not len(found) and size:
        raise InvalidSpec(f"{where}: {text!r} selects nothing of {size:,} positions")
    return Selection(found.start if len(found) else 0, found.step, len(found))


def chunk_lengths(
    asked: Mapping[str, int | str],
    dims: Sequence[str],
    shape: Sequence[int],
    kept: Sequence[int],
    itemsize: int,
    target: int,
) -> tuple[int, ...]:
    """The chunk length of each dimension, at most the dimension's own. asked: lengths by name or position; a dimension
    that it does not name keeps its chunk length (`kept`)."""
    out: list[int] = []
    open_: list[int] = []
    for at, (dim, size, old) in enumerate(zip(dims, shape, kept, strict=True)):
        value = asked.get(dim, asked.get(str(at), old))
        if value == AUTO:
            open_.append(at)
            out.append(1)
        else:
            length = int(value)
            out.append(max(size, 1) if length == WHOLE else max(min(length, size), 1))
    for at, length in _spread(open_, shape, kept, target / max(itemsize * math.prod(out), 1)).items():
        out[at] = length
    return tuple(out)


def _spread(open_: Sequence[int], shape: Sequence[int], kept: Sequence[int], room: float) -> dict[int, int]:
    """Chunk lengths of the open dimensions, with a product of at most `room` and as equal as the dimensions allow.

    Multiples of the old lengths where that costs little; otherwise such that all chunks of a dimension are about
    equally long."""
    out: dict[int, int] = {}
    left = sorted(open_, key=lambda at: shape[at])
    while left:
        at = left.pop(0)
        side = max(int(max(room, 1.0) ** (1 / (len(left) + 1)) + 1e-9), 1)
        size, old = max(shape[at], 1), kept[at]
        if size <= side:
            length = size
        elif old <= side:
            length = side // old * old
        else:
            length = math.ceil(size / math.ceil(size / side))
        out[at] = length
        room /= length
    return out


def shard_lengths(
    asked: Mapping[str, int], dims: Sequence[str], shape: Sequence[int], chunks: Sequence[int], where: str
) -> tuple[int, ...] | None:
    """The shard length of each dimension; None if the job asks for none. -1: the whole dimension, rounded up to whole
    chunks. A dimension that the job does not name has shards of one chunk."""
    if not any(dim in asked or str(at) in asked for at, dim in enumerate(dims)):
        return None
    out: list[int] = []
    for at, (dim, size, chunk) in enumerate(zip(dims, shape, chunks, strict=True)):
        length = asked.get(dim, asked.get(str(at), chunk))
        whole = -(-max(size, 1) // chunk) * chunk
        if length == WHOLE or length >= whole:
            length = whole
        if length % chunk:
            raise InvalidSpec(
                f"operation.rechunk.shards.{dim}: {length} is no multiple of the chunk length {chunk} ({where}); "
                f"take {max(length // chunk, 1) * chunk} or {-(-length // chunk) * chunk}"
            )
        out.append(length)
    return tuple(out)


def check_names(asked: Sequence[str], field: str, dims: Sequence[str], positions: int) -> None:
    """Raises InvalidSpec for a dimension that no array has. positions: how many dimensions can be named by position; 0
    if there are several arrays."""
    for name in asked:
        if name in dims or (name.isdecimal() and int(name) < positions):
            continue
        if name.isdecimal() and not positions:
            raise InvalidSpec(
                f"operation.rechunk.{field}: {name} is a position, and there are several arrays; name the dimension "
                f"({', '.join(dims) or 'they have no names'}), or one array in variables"
            )
        near = difflib.get_close_matches(name, list(dims), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"dimensions are {', '.join(dims) or 'without names'}"
        raise InvalidSpec(f"operation.rechunk.{field}: no array has a dimension {name!r}; {hint}")
