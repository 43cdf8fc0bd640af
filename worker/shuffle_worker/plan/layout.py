"""How the output is cut: partitions (files), buckets (stored together), groups (owned and written together).

    partition   one output file; the user's word. 0 .. partitions-1
    cell        the finest destination of a row; the number that partitioning computes
    bucket      what one shard goes to and the store keeps together, a contiguous range of cells
    group       what one worker owns and writes in one lease, whole partitions

Two shapes, so that neither few huge partitions nor very many tiny ones cost memory, files, leases or Python objects:

    partitions <= buckets   a partition is `split` buckets (a sort cuts its key range finer than its files, so that each
                            piece is sorted in memory);   cell = bucket, group = partition
    partitions >  buckets   a bucket holds several partitions (20,000 files do not mean 20,000 shards a batch);
                            cell = partition, group = bucket
"""

from __future__ import annotations

from msgspec import Struct


class Layout(Struct, frozen=True):
    """How the output is cut."""

    partitions: int
    """Output files, 1 or more."""
    buckets: int
    """1 or more; a multiple of `partitions` where there are more."""

    def __post_init__(self) -> None:
        if self.partitions < 1 or self.buckets < 1:
            raise ValueError(f"a layout needs partitions and buckets, not {self.partitions} and {self.buckets}")
        if self.buckets > self.partitions and self.buckets % self.partitions:
            raise ValueError(f"{self.buckets} buckets are no multiple of {self.partitions} partitions")

    @property
    def cells(self) -> int:
        return max(self.partitions, self.buckets)

    @property
    def groups(self) -> int:
        return min(self.partitions, self.buckets)

    def bucket_cells(self, bucket: int) -> range:
        """The cells that a bucket holds."""
        if self.partitions <= self.buckets:
            return range(bucket, bucket + 1)
        return range(bucket * self.partitions // self.buckets, (bucket + 1) * self.partitions // self.buckets)

    def group_buckets(self, group: int) -> range:
        """The buckets of a group, in the order in which they are written."""
        if self.partitions <= self.buckets:
            each = self.buckets // self.partitions
            return range(group * each, (group + 1) * each)
        return range(group, group + 1)

    def group_partitions(self, group: int) -> range:
        """The output files of a group."""
        if self.partitions <= self.buckets:
            return range(group, group + 1)
        return self.bucket_cells(group)

    def bucket_group(self, bucket: int) -> int:
        return bucket // (self.buckets // self.partitions) if self.partitions <= self.buckets else bucket

    @property
    def bucket_starts(self) -> list[int]:
        """First cell of every bucket, and the number of cells at the end: len buckets + 1."""
        return [self.bucket_cells(b).start for b in range(self.buckets)] + [self.cells]
