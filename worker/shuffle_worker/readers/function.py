"""A reader function of the user's own: `package.module:function`, (path, columns) -> Arrow.

It is called once for each file and reading, in the worker's compute thread, and may return a table, a record batch, a
`RecordBatchReader`, or an iterator of record batches or tables; with the last two a file of any size is read in little
memory. `columns` names what is wanted, None for all; more than that may be returned, and is left out.

What the function returns for one path must not change from call to call: a worker that is lost has its files read again
by others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from shuffle_worker.errors import DataError, JobError, UserFunctionFailed
from shuffle_worker.functions.tracebacks import told
from shuffle_worker.plan.statistics import ColumnRange
from shuffle_worker.readers.source import STREAM_SPAN, sliced
from shuffle_worker.storage.base import Info

Function = Callable[..., Any]

ACCEPTED = "an Arrow Table, RecordBatch, RecordBatchReader, or an iterator of record batches"


class FunctionSource:
    """A `Source`: what the function returns for one file. schema: as the plan has it, None where the first batch is to
    tell."""

    counted = False

    def __init__(
        self, info: Info, name: str, function: Function, schema: pa.Schema | None, footer: object = None
    ) -> None:
        self.path = info.path
        self._size = info.size
        self._name = name
        self._function = function
        self._row_bytes = 64.0
        if isinstance(footer, pa.Schema):
            self.schema: pa.Schema = footer
        elif schema is not None:
            self.schema = schema
        else:
            self.schema = self._look()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        return

    @property
    def groups(self) -> int:
        return 1

    @property
    def footer(self) -> object:
        return self.schema

    @property
    def whole_groups(self) -> bool:
        return False

    def rows(self, group: int) -> int:  # noqa: ARG002
        return max(int(self._size / self._row_bytes), 1)

    def span(self, group: int) -> int:  # noqa: ARG002
        return STREAM_SPAN

    def stored_bytes(self, group: int, names: Sequence[str]) -> int:  # noqa: ARG002
        return self._size

    def column_range(self, group: int, name: str) -> ColumnRange | None:  # noqa: ARG002
        return None

    def batches(self, groups: Sequence[int], names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        wanted = list(names)
        for _ in groups:
            for batch in self._called(wanted):
                lacking = next((name for name in wanted if name not in batch.schema.names), None)
                if lacking is not None:
                    raise DataError(
                        f"{self.path}: {self._name} returned no column {lacking!r}; it returned "
                        f"{', '.join(batch.schema.names) or 'no columns'}; where files differ declare inputs[].schema "
                        "and return nulls for what a file lacks"
                    )
                yield from sliced(batch.select(wanted), rows)

    def _look(self) -> pa.Schema:
        result = self._call(None)
        if isinstance(result, pa.Table | pa.RecordBatch | pa.RecordBatchReader):
            found = result.schema
            if not isinstance(result, pa.RecordBatchReader) and result.num_rows:
                self._row_bytes = max(result.nbytes / result.num_rows, 1.0)
            return found
        for batch in self._batches(result):
            if batch.num_rows:
                self._row_bytes = max(batch.nbytes / batch.num_rows, 1.0)
            return batch.schema
        raise DataError(
            f"{self.path}: {self._name} returned an iterator without a single batch, so its columns are not known; "
            "declare them in inputs[].schema, or return an empty batch"
        )

    def _called(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        return self._batches(self._call(columns))

    def _call(self, columns: list[str] | None) -> Any:
        try:
            return self._function(self.path, columns)
        except (JobError, MemoryError):
            raise
        except Exception as error:
            raise self._raised(error) from error

    def _batches(self, result: Any) -> Iterator[pa.RecordBatch]:
        if isinstance(result, pa.RecordBatch):
            yield result
            return
        if isinstance(result, pa.Table):
            yield from result.to_batches()
            return
        if isinstance(result, str | bytes | dict | list | tuple) or not hasattr(result, "__iter__"):
            raise self._no_arrow(result)
        if not isinstance(result, pa.RecordBatchReader) and not hasattr(result, "__next__"):
            raise self._no_arrow(result)
        iterator = iter(result)
        while True:
            try:
                each = next(iterator)
            except StopIteration:
                return
            except (JobError, MemoryError):
                raise
            except Exception as error:
                raise self._raised(error) from error
            if isinstance(each, pa.Table):
                yield from each.to_batches()
            elif isinstance(each, pa.RecordBatch):
                yield each
            else:
                raise self._no_arrow(each, "an iterator of ")

    def _no_arrow(self, result: Any, of: str = "") -> UserFunctionFailed:
        kind = f"{type(result).__module__}.{type(result).__qualname__}"
        advice = "; pa.Table.from_pandas(frame) makes a table of it" if "pandas" in kind else ""
        return UserFunctionFailed(
            f"inputs[].reader: {self._name} returned {of}{kind} for {self.path}; return {ACCEPTED}{advice}"
        )

    def _raised(self, error: Exception) -> UserFunctionFailed:
        package = self._name.partition(":")[0].partition(".")[0]
        return UserFunctionFailed(
            f"inputs[].reader: {self._name} failed for {self.path}: {told(error, package=package)}"
        )
