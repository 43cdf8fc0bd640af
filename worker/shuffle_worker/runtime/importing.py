"""How a process of ours imports its libraries: half of a small job's time is that, so nothing is done beside it.

    garbage   is not looked for: what imports make stays for good, and would be looked at again and again
    pandas    is not found: Arrow imports it when it is first given an array or rows, 0.2 s and 60 MB for nothing
    threads   are not started: NumPy would start one a core for products of matrices, of which there are none here,
              and they wait for work by spinning; Arrow one for the allocator that is not used (`heap.py`)

Processes of the user's functions import as ever.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from shuffle_worker.runtime.heap import ALLOCATOR, share_one_allocator

BLAS = {"OPENBLAS_NUM_THREADS": "1"}
JEMALLOC = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}


class _NoPandas:
    """A finder that refuses to find one module, and knows no other."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not used in this process", name=name)


@contextmanager
def quickly() -> Iterator[None]:
    """To be entered before NumPy and Arrow are imported. Processes that are started later find the variables of the
    environment as they were."""
    gc.disable()
    if _NoPandas not in sys.meta_path:
        sys.meta_path.insert(0, _NoPandas)
    share_one_allocator()
    wanted = BLAS if os.environ[ALLOCATOR] == "jemalloc" else {**BLAS, **JEMALLOC}
    unset = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(unset)
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]
        gc.freeze()
        gc.enable()
