"""What the ends of a job have in common, be it on tables or on arrays. Each step can be run again after a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from shuffle_worker.output.claim import in_order, sweep
from shuffle_worker.output.names import staging
from shuffle_worker.storage import Storage

MOVES = 16
"""Files moved at a time."""


def move_in(storage: Storage, below: str, output: str, names: Iterable[str]) -> None:
    """Staged files take their places. names: of files below `below`, and then below `output`."""

    def move(name: str) -> None:
        storage.move(f"{below}/{name}", f"{output}/{name}")

    with ThreadPoolExecutor(MOVES, thread_name_prefix="commit") as pool:
        list(pool.map(move, names))


def clear_staging(storage: Storage, output: str, uid: str) -> None:
    """The last step of a commit."""
    storage.remove([info.path for info in storage.listing(staging(output, uid))])
    sweep(storage, output, uid)


def undo(
    storage: Storage, output: str, uid: str, overwrite: bool, written: Callable[[list[str]], list[list[str]]]
) -> None:
    """The abort of the job that has this uid. written: of the paths in the output folder those that a job writes, as
    they go one set after the other. They are the job's only where a plan was written: planning refuses a folder that
    holds something."""
    staged = [info.path for info in storage.listing(staging(output, uid))]
    if any(path.endswith("/plan") for path in staged) and not overwrite:
        for paths in written([info.path for info in storage.listing(output)]):
            storage.remove(paths)
    for paths in in_order(staged):
        storage.remove(paths)
    sweep(storage, output, uid)
