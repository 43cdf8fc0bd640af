"""What a job wrote: figures, and its files, opened as what people work with.

Whatever opens them looks at the manifest first: it must still be this job's. An output that another job replaced since
would otherwise be taken for this one's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shuffle_local.python import hypertext
from shuffle_local.python.written import WrittenOutput
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.jobs import StorageOptions
from shuffle_protocol.units import counted, readable

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    import polars as pl
    import pyarrow as pa
    import pyarrow.dataset as ds

    from shuffle_operator.api.data import Storage


@dataclass(frozen=True, slots=True, repr=False)
class JobResult(WrittenOutput):
    """The output of a job that is complete, with figures."""

    rows: int
    """Elements, of arrays."""
    files: int
    bytes: int
    seconds: float
    summary: Snapshot
    """All figures (docs/json.md)."""

    @property
    def paths(self) -> list[str]:
        """The files, in the order of their partitions. Raises OutputChanged."""
        from shuffle_local.python.opening import manifest_of

        return [f"{self.path.rstrip('/')}/{record.name}" for record in manifest_of(self).files]

    def dataset(self) -> ds.Dataset:
        """An Arrow dataset of the files, in the order of their partitions. Of Parquet, Feather and ORC nothing is read
        but the manifest; CSV and JSON are read whole. Raises OutputChanged, and InvalidSpec where these are arrays."""
        from shuffle_local.python.opening import dataset_of

        return dataset_of(self)

    def to_arrow(self) -> pa.Table:
        """All rows, in memory, in the order of the files. Raises OutputChanged."""
        from shuffle_local.python.opening import table_of

        return table_of(self)

    def to_pandas(self, **options: Any) -> pd.DataFrame:
        """All rows, in memory. options: those of `pyarrow.Table.to_pandas`. Raises OutputChanged, and ImportError where
        pandas is not installed."""
        _need("pandas")
        frame: pd.DataFrame = self.to_arrow().to_pandas(**options)
        return frame

    def scan_polars(self) -> pl.LazyFrame:
        """A lazy frame of the files. Raises OutputChanged, and ImportError where Polars is not installed."""
        _need("polars")
        import polars as pl

        return pl.scan_pyarrow_dataset(self.dataset())

    def reached_by(self, storage: Storage) -> JobResult:
        """The same output, opened by other means than the job's: by `storage(endpoint="http://127.0.0.1:9000")` where
        the job's endpoint is an address in the cluster, say."""
        return replace(self, store=StorageOptions(storage.endpoint or "", dict(storage.options or {})))

    def __repr__(self) -> str:
        what = "element" if self.format == "Zarr" else "row"
        figures = f"{counted(self.rows, what)} in {counted(self.files, 'file')}, {readable(self.bytes)}"
        return hypertext.clean(
            f"<JobResult {self.name}: {figures}, {self.seconds:.1f} s, {self.format} in {self.path}>"
        )

    def _repr_html_(self) -> str:
        from shuffle_local.cli.plan_tree import actual_of
        from shuffle_local.cli.progress import facts

        end = self.summary
        steps = hypertext.tree(end.tree, actual_of(end)) if end.tree is not None else ""
        return hypertext.heading("Complete", self.name) + hypertext.table(facts(end)) + steps


def result_of(end: Snapshot, path: str, format_name: str, store: StorageOptions) -> JobResult:
    """end: of a job that is complete. path: of its output."""
    return JobResult(
        name=end.name,
        uid=end.uid,
        path=path,
        manifest=end.manifest or f"{path.rstrip('/')}/_manifest.json",
        format=format_name,
        rows=end.rows_written,
        files=end.files,
        bytes=end.bytes_written,
        seconds=end.seconds,
        summary=end,
        store=store,
    )


def _need(package: str) -> None:
    import importlib

    try:
        importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"{package} cannot be imported ({error}); install it, or take to_arrow()") from error
